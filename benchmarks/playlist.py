"""What the streams of a live benchmark play: clips with references, joined by pauses.

Pure: reads WAV files, joins samples. The same playlist can be played live and uploaded as a file.
"""

from __future__ import annotations

import io
import json
import random
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 16_000
_UTTERANCE_GAP_SECONDS = 1.0  # sentences closer than this may well be one utterance: their edges are not timed
_NOISE_LEVEL = 3.0  # LSB: pauses are quiet rooms, not digital zeros


@dataclass(frozen=True, slots=True)
class Span:
    """Speech between two pauses long enough for an endpoint; seconds in the playlist."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Clip:
    """samples: int16 [samples], 16 kHz; spans: where its speech lies."""

    name: str
    samples: npt.NDArray[np.int16]
    reference: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Playlist:
    """One stream's audio: int16 [samples], 16 kHz."""

    samples: npt.NDArray[np.int16]
    reference: str
    spans: tuple[Span, ...]

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE

    def wav(self) -> bytes:
        """The playlist as a WAV file."""
        target = io.BytesIO()
        with wave.open(target, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(self.samples.astype("<i2").tobytes())
        return target.getvalue()


def load_clips(folder: Path, *, longest_seconds: float = 30.0) -> list[Clip]:
    """Read `manifest.json` and its 16 kHz mono WAV files; clips without sentence times have no spans."""
    clips: list[Clip] = []
    for row in json.loads((folder / "manifest.json").read_text(encoding="utf-8")):
        with wave.open(str(folder / row["filename"]), "rb") as file:
            if file.getframerate() != SAMPLE_RATE or file.getnchannels() != 1 or file.getsampwidth() != 2:
                raise ValueError(f"Expected 16 kHz mono PCM16 in {row['filename']}.")
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        if len(samples) > longest_seconds * SAMPLE_RATE:
            continue
        spans = tuple(Span(s["start"], s["end"]) for s in row.get("sentences", ()))
        clips.append(Clip(row["filename"], samples, row["reference"], spans))
    return clips


def make_playlist(clips: list[Clip], seconds: float, seed: int, *, speech_share: float = 0.5) -> Playlist:
    """Join shuffled clips, each followed by a pause, until `seconds` are full.

    Args:
        seconds: length wanted; the last clip is always whole, so a playlist may be longer.
        speech_share: clip time over clip and pause time.
    """
    rng = random.Random(seed)
    begins = rng.uniform(0.0, 2.0)  # streams do not speak in step
    at = int(begins * SAMPLE_RATE)
    order: list[Clip] = []
    queue: list[Clip] = []
    while at < seconds * SAMPLE_RATE:
        if not queue:
            queue = rng.sample(clips, len(clips))
        order.append(queue.pop())
        at += len(order[-1].samples) + _pause_behind(order[-1], speech_share)
    return join_clips(order, seed, begins=begins, speech_share=speech_share)


def join_clips(clips: Sequence[Clip], seed: int, *, begins: float = 0.0, speech_share: float = 0.5) -> Playlist:
    """Join clips in their order, each followed by a pause, the first after `begins` seconds."""
    noise = np.random.default_rng(seed)
    parts: list[npt.NDArray[np.int16]] = []
    spans: list[Span] = []
    at = 0

    def append(samples: npt.NDArray[np.int16]) -> None:
        nonlocal at
        parts.append(samples)
        at += len(samples)

    def pause(samples: int) -> None:
        append(np.rint(noise.standard_normal(samples) * _NOISE_LEVEL).astype(np.int16))

    pause(int(begins * SAMPLE_RATE))
    for clip in clips:
        offset = at / SAMPLE_RATE
        spans += _utterances([Span(offset + s.start, offset + s.end) for s in clip.spans])
        append(clip.samples)
        pause(_pause_behind(clip, speech_share))
    return Playlist(np.concatenate(parts), " ".join(clip.reference for clip in clips), tuple(spans))


def _pause_behind(clip: Clip, speech_share: float) -> int:
    return int(len(clip.samples) * (1 - speech_share) / speech_share)


def _utterances(sentences: list[Span]) -> list[Span]:
    """Merge sentences that only a short pause divides."""
    merged: list[Span] = []
    for sentence in sentences:
        if merged and sentence.start - merged[-1].end < _UTTERANCE_GAP_SECONDS:
            merged[-1] = Span(merged[-1].start, sentence.end)
        else:
            merged.append(sentence)
    return merged
