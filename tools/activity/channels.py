"""Filters and channels: what happens to speech and noise between mouth and file.

Waveforms are float32 [samples] at 16 kHz, full scale 1. Pure functions of their arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gigastt.audio.pcm import Samples

SAMPLE_RATE = 16_000
Waveform: TypeAlias = npt.NDArray[np.float32]  # [samples]


def normalise(waveform: npt.NDArray[Any]) -> Waveform:
    """Scale to unit deviation."""
    return (waveform / (waveform.std() + 1e-9)).astype(np.float32)


def from_decibels(level: float) -> float:
    """Return the amplitude ratio of a level in dB."""
    return float(10 ** (level / 20))


def to_samples(waveform: Waveform) -> Samples:
    """Round to PCM16, clipping at full scale."""
    return np.clip(np.round(waveform * 32_767), -32_768, 32_767).astype(np.int16)


def shape_spectrum(waveform: Waveform, corners_hz: Sequence[float], gains_db: Sequence[float]) -> Waveform:
    """Filter without phase by a gain that is linear in decibels and log frequency between its corners."""
    spectrum = np.fft.rfft(waveform)
    frequencies = np.maximum(np.arange(len(spectrum)) * (SAMPLE_RATE / len(waveform)), 1.0)
    gain = np.interp(np.log(frequencies), np.log(np.maximum(corners_hz, 1.0)), gains_db)
    return np.fft.irfft(spectrum * 10 ** (gain / 20), len(waveform)).astype(np.float32)


def pass_band(waveform: Waveform, low_hz: float, high_hz: float) -> Waveform:
    """Keep a band, with the soft lower and hard upper edge of a line."""
    return shape_spectrum(waveform, [low_hz * 0.8, low_hz, high_hz, high_hz * 1.08], [-45, 0, 0, -60])


def compand(waveform: Waveform, peak: float = 1.0) -> Waveform:
    """Round to 8-bit µ-law and back."""
    scaled = np.clip(waveform / peak, -1, 1)
    companded = np.round(np.sign(scaled) * np.log1p(255 * np.abs(scaled)) / np.log(256) * 127) / 127
    return (np.sign(companded) * (np.expm1(np.abs(companded) * np.log(256)) / 255) * peak).astype(np.float32)


def telephone(waveform: Waveform) -> Waveform:
    """Pass through a line: 300 to 3400 Hz and 8-bit µ-law."""
    return pass_band(compand(pass_band(waveform, 300, 3400)), 200, 3500)


def reverberate(waveform: Waveform, rng: np.random.Generator, seconds: float, wet: float) -> Waveform:
    """Add a room: exponentially decaying noise of the given length and strength."""
    length = int(seconds * SAMPLE_RATE)
    response = rng.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    response *= wet / (np.sqrt((response**2).sum()) + 1e-9)
    response[0] = 1.0
    size = len(waveform) + length
    wet_wave = np.fft.irfft(np.fft.rfft(waveform, size) * np.fft.rfft(response, size), size)
    return wet_wave[: len(waveform)].astype(np.float32)


def change_speed(waveform: Waveform, factor: float) -> Waveform:
    """Play faster or slower, pitch and all."""
    return np.interp(np.arange(0, len(waveform) - 1, factor), np.arange(len(waveform)), waveform).astype(np.float32)
