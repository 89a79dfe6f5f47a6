"""Conversations made of recorded and synthetic voices, with exact references of who speaks when.

A voice is a folder's worth of clips. A turn is a run of a voice's clips, 1 to 8 s; between turns are -0.3 to 1.5 s, so
that speakers also interrupt each other. All of it is heard in one room: an exponentially fading echo and a faint hiss.
Everything follows from a seed.
"""

from __future__ import annotations

import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from gigastt.audio.pcm import SAMPLE_RATE, Samples

Waveform = npt.NDArray[np.float32]
TURN_SECONDS = (1.0, 8.0)
GAP_SECONDS = (-0.3, 1.5)
_LEVEL = 0.06  # root mean square of every voice; the room adds to it
_QUIET = 0.02  # of a clip's peak: what lies below at its ends is no speech


@dataclass(frozen=True, slots=True)
class SpokenTurn:
    """Who speaks from when to when, in seconds."""

    speaker: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation: int16 at 16 kHz, and its turns in order."""

    samples: Samples
    turns: Sequence[SpokenTurn]

    @property
    def speakers(self) -> list[str]:
        """Who speaks, in order of appearance."""
        return list(dict.fromkeys(turn.speaker for turn in self.turns))


def read_clip(path: Path) -> Waveform:
    """Return a WAV file of one channel at 16 kHz, without the quiet at its ends, as loud as every other."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float32) / 32_768
        rate = file.getframerate()
    if rate != SAMPLE_RATE:
        samples = soxr.resample(samples, rate, SAMPLE_RATE).astype(np.float32)
    loud = np.flatnonzero(np.abs(samples) > _QUIET * np.abs(samples).max(initial=1e-9))
    clip = samples[loud[0] : loud[-1] + 1] if loud.size else samples[:0]
    scale = _LEVEL / max(1e-6, float(np.sqrt(np.mean(clip**2)))) if clip.size else 1.0
    return (clip * scale).astype(np.float32)


def split_clip(clip: Waveform, seconds: float = 2.0) -> list[Waveform]:
    """Cut a clip into pieces of about so many seconds at its quietest places."""
    hop = SAMPLE_RATE // 50
    energy = np.array([float(np.mean(clip[at : at + hop] ** 2)) for at in range(0, len(clip) - hop, hop)])
    count = max(1, round(len(clip) / SAMPLE_RATE / seconds))
    cuts = [0]
    for number in range(1, count):
        middle, reach = number * len(energy) // count, len(energy) // count // 3
        cuts.append((middle - reach + int(np.argmin(energy[middle - reach : middle + reach]))) * hop)
    return [clip[begin:end] for begin, end in zip(cuts, [*cuts[1:], len(clip)], strict=True)]


def make_talk(
    voices: Mapping[str, Sequence[Waveform]], seed: int, *, seconds: float = 60.0, rate: int = 16_000
) -> Talk:
    """Make a conversation of all these voices.

    Args:
        voices: clips of each, from `read_clip`.
        rate: what it is recorded at; the result is at 16 kHz all the same.
    """
    rng = np.random.default_rng(seed)
    names = list(voices)
    decks: dict[str, list[int]] = {name: [] for name in names}
    turns: list[SpokenTurn] = []
    pieces: list[tuple[int, Waveform]] = []
    at, speaker = 0.5, ""
    while at < seconds or len({turn.speaker for turn in turns}) < len(names):
        waiting = [name for name in names if all(turn.speaker != name for turn in turns)]
        others = [name for name in names if name != speaker]
        speaker = str(rng.choice(waiting if waiting and rng.random() < 0.6 and waiting != [speaker] else others))
        spoken = _speak(voices[speaker], decks[speaker], rng.uniform(*TURN_SECONDS), rng)
        begin = max(0, round(at * SAMPLE_RATE))
        pieces.append((begin, spoken))
        end = begin + len(spoken)
        turns.append(SpokenTurn(speaker, begin / SAMPLE_RATE, end / SAMPLE_RATE))
        at = end / SAMPLE_RATE + rng.uniform(*GAP_SECONDS)
    mixed = np.zeros(pieces[-1][0] + len(pieces[-1][1]) + SAMPLE_RATE, np.float32)
    for begin, spoken in pieces:
        mixed[begin : begin + len(spoken)] += spoken
    heard = _in_room(mixed, rng)
    if rate != SAMPLE_RATE:
        heard = soxr.resample(soxr.resample(heard, SAMPLE_RATE, rate), rate, SAMPLE_RATE)
    return Talk(np.clip(np.rint(heard * 32_767), -32_768, 32_767).astype(np.int16), turns)


def _speak(clips: Sequence[Waveform], deck: list[int], seconds: float, rng: np.random.Generator) -> Waveform:
    """Return a turn of about so many seconds; a clip comes again only when all of them have come."""
    said: list[Waveform] = []
    length, wanted = 0, round(seconds * SAMPLE_RATE)
    while length < SAMPLE_RATE or length < wanted - SAMPLE_RATE:
        if not deck:
            deck += rng.permutation(len(clips)).tolist()
        fitting = [index for index in deck if len(clips[index]) <= max(wanted - length, 2 * SAMPLE_RATE)]
        index = fitting[0] if fitting else min(deck, key=lambda one: len(clips[one]))
        deck.remove(index)
        pause = np.zeros(round(rng.uniform(0.05, 0.3) * SAMPLE_RATE), np.float32)
        said += [clips[index], pause]
        length += len(clips[index]) + len(pause)
    whole = np.concatenate(said[:-1])
    return whole[: round(TURN_SECONDS[1] * SAMPLE_RATE)]


def _in_room(dry: Waveform, rng: np.random.Generator) -> Waveform:
    """Add the echo of a small room (0.25 s until it has faded by 60 dB) and 40 dB below the voices a hiss."""
    length = SAMPLE_RATE // 4
    fading = np.exp(-6.9 * np.arange(length) / length)
    echo = rng.standard_normal(length) * fading * 0.012
    echo[0] = 1.0
    size = len(dry) + length
    wet = np.fft.irfft(np.fft.rfft(dry, size) * np.fft.rfft(echo, size), size)[: len(dry)]
    return (wet + rng.standard_normal(len(dry)) * _LEVEL * 0.01).astype(np.float32)
