"""Long recordings made of clips: dense, as a lecture is read, and natural, with the pauses of a conversation."""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gigastt.audio.pcm import SAMPLE_RATE, Samples

DENSE_PAUSE_SECONDS = 0.8
SPEECH_SHARE = 0.7  # of a natural recording; the rest is pauses
_SHORTEST_PAUSE_SECONDS = 0.3
_QUIET_SAMPLES = 320


class LongFile(NamedTuple):
    """A recording and the numbers of the clips that are in it, in order."""

    samples: Samples
    clips: list[int]


def make_dense(clips: Sequence[Samples], minutes: float) -> LongFile:
    """Repeat the clips with short pauses of quiet noise until the length is reached."""
    quiet = np.random.default_rng(0).normal(0, 8, int(DENSE_PAUSE_SECONDS * SAMPLE_RATE)).astype(np.int16)
    parts: list[Samples] = []
    while count_seconds(parts) < minutes * 60:
        parts += [clips[len(parts) // 2 % len(clips)], quiet]
    return LongFile(np.concatenate(parts), [number % len(clips) for number in range(len(parts) // 2)])


def make_natural(clips: Sequence[Samples], minutes: float) -> LongFile:
    """Repeat the clips with pauses of all lengths, filled with noise as loud as each clip's own background.

    Pauses are a shortest one and an exponentially distributed rest, so that clips are `SPEECH_SHARE` of the time.
    """
    random = np.random.default_rng(0)
    mean = count_seconds(clips) / len(clips) * (1 / SPEECH_SHARE - 1)
    parts: list[Samples] = []
    while count_seconds(parts) < minutes * 60:
        clip = clips[len(parts) // 2 % len(clips)]
        pause = _SHORTEST_PAUSE_SECONDS + random.exponential(max(0.0, mean - _SHORTEST_PAUSE_SECONDS))
        noise = random.normal(0, _background(clip), int(pause * SAMPLE_RATE))
        parts += [clip, np.rint(noise).astype(np.int16)]
    return LongFile(np.concatenate(parts), [number % len(clips) for number in range(len(parts) // 2)])


def _background(clip: Samples) -> float:
    """Return the level that a tenth of the clip's 20 ms are below."""
    pieces = clip[: len(clip) // _QUIET_SAMPLES * _QUIET_SAMPLES].reshape(-1, _QUIET_SAMPLES).astype(np.float64)
    return float(np.quantile(pieces.std(axis=1), 0.1))


def as_wav(samples: Samples) -> bytes:
    """Write a WAV file of 16 kHz mono."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return content.getvalue()


def count_seconds(sounds: Sequence[Samples]) -> float:
    """Return how long they are together."""
    return sum(map(len, sounds)) / SAMPLE_RATE
