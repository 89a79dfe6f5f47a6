"""Music: chords, a bass, a melody and drums, with random timbres, of unit deviation."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tools.activity.channels import SAMPLE_RATE, Waveform, normalise

_MINOR = (0, 2, 3, 5, 7, 8, 10)
_MAJOR = (0, 2, 4, 5, 7, 9, 11)
_HIGHEST_HZ = 7500


class _Score:
    """A waveform that notes are added to."""

    def __init__(self, length: int, root_hz: float) -> None:
        self.wave = np.zeros(length, np.float32)
        self._root = root_hz

    def add_note(
        self, at: int, semitones: float, length: int, amplitude: float, decay: float, harmonics: int, tilt: float
    ) -> None:
        note = _play(self._root * 2 ** (semitones / 12), length, decay, harmonics, tilt)
        span = self.wave[at : at + length]
        span += (note * amplitude).astype(np.float32)[: len(span)]

    def add_drum(self, at: int, length: int, rng: np.random.Generator) -> None:
        strike = rng.standard_normal(length) * np.exp(-8 * np.arange(length) / length) * 0.8
        self.wave[at : at + length] += strike.astype(np.float32)


@lru_cache(maxsize=64)  # a piece of music has some thirty notes, and repeats them
def _play(pitch: float, length: int, decay: float, harmonics: int, tilt: float) -> npt.NDArray[np.float64]:
    """Play one note at full amplitude, `pitch` in Hz."""
    time = np.arange(length) / SAMPLE_RATE
    wave = np.zeros(length)
    for partial in range(1, harmonics + 1):
        if pitch * partial < _HIGHEST_HZ:
            wave += np.sin(2 * np.pi * pitch * partial * time) * partial**-tilt
    attack, release = np.minimum(time / 0.01, 1), np.minimum((length / SAMPLE_RATE - time) / 0.02, 1)
    return wave * attack * np.exp(-decay * time) * release


def music(length: int, rng: np.random.Generator) -> Waveform:
    """Compose and play `length` samples."""
    tempo, root = float(rng.uniform(70, 150)), float(rng.uniform(110, 220))
    beat = int(60 / tempo * SAMPLE_RATE)
    scale = _MINOR if rng.random() < 0.5 else _MAJOR
    chord, _, lead = (
        (int(rng.integers(2, 12)), float(rng.uniform(0.7, 2)), float(rng.uniform(0.3, 6))) for _ in range(3)
    )
    score = _Score(length + SAMPLE_RATE * 4, root)
    has_drums = rng.random() < 0.6
    for bar in range(0, length, beat * 4):
        degree = int(rng.choice([0, 3, 4, 5]))
        for third in (0, 2, 4):
            pitch = scale[(degree + third) % 7] + 12 * ((degree + third) // 7)
            score.add_note(bar, pitch, beat * 4, 0.4, chord[2] * 0.4, chord[0], chord[1])
        score.add_note(bar, scale[degree] - 12, beat * 4, 0.6, 1.0, 4, 1.0)
        for eighth in range(8):
            at = bar + eighth * beat // 2
            if rng.random() < 0.6:
                pitch, lasts = scale[int(rng.integers(7))] + 12, beat // 2 * int(rng.integers(1, 3))
                score.add_note(at, pitch, lasts, 0.7, lead[2], lead[0], lead[1])
            if has_drums and eighth % 2 == 0:
                score.add_drum(at, min(3000, beat // 2), rng)
    return normalise(score.wave[:length])
