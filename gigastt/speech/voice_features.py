"""The front ends of speaker models: 16 kHz samples in, mel bands for every 10 ms out.

Two kinds, told by how many bands a model takes: Kaldi's filter bank (80 log bands, windows of 25 ms without dither, as
3D-Speaker and WeSpeaker are fed) and Resemblyzer's (40 bands of power, Slaney's scale). Each frame has the same bits
however many are computed with it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from gigastt.audio.pcm import SAMPLE_RATE, Samples
from gigastt.speech.tokens import FRAME_SAMPLES

KALDI_BANDS = 80
RESEMBLYZER_BANDS = 40
BAND_SAMPLES = 400
_PRE_EMPHASIS = np.float32(0.97)
_LOWEST_HZ = 20.0
_LEVEL = 10 ** (-30 / 20)  # -30 dBFS: Resemblyzer hears power, so loudness must not matter

_Array = npt.NDArray[np.float32]
_Matrix = npt.NDArray[np.float64]


def frames_of(samples: Samples) -> int:
    """Return how many frames samples give."""
    return max(0, 1 + (len(samples) - BAND_SAMPLES) // FRAME_SAMPLES)


def kaldi_bands(samples: Samples) -> _Array:
    """Return Kaldi's log filter bank, float32 [frames, bands=80]; its mean over time is for the caller to take off."""
    windows = _windows(samples)
    windows -= windows.mean(axis=1, keepdims=True)
    emphasised = np.empty_like(windows)
    emphasised[:, 0] = windows[:, 0] * (1 - _PRE_EMPHASIS)
    np.multiply(windows[:, :-1], -_PRE_EMPHASIS, out=emphasised[:, 1:])
    emphasised[:, 1:] += windows[:, 1:]
    window, matrix = _kaldi_tables()
    power = _power(emphasised * window, 512)
    return np.log(np.maximum(_by_rows(power, matrix), np.finfo(np.float32).eps))


def resemblyzer_bands(samples: Samples) -> _Array:
    """Return Resemblyzer's power bands, float32 [frames, bands=40]; the level is for the caller to set."""
    window, matrix = _resemblyzer_tables()
    return _by_rows(_power(_windows(samples) * window, BAND_SAMPLES), matrix)


def at_level(bands: _Array) -> _Array:
    """Return power bands as loud as Resemblyzer's training audio."""
    window, _ = _resemblyzer_tables()
    wanted = _LEVEL**2 * float(np.sum(window.astype(np.float64) ** 2))  # so much the bands of white noise sum to
    return bands * np.float32(wanted / max(1e-9, float(bands.sum(axis=1).mean())))


def _windows(samples: Samples) -> _Array:
    count = frames_of(samples)
    if not count:
        return np.empty((0, BAND_SAMPLES), np.float32)
    views = np.lib.stride_tricks.sliding_window_view(samples, BAND_SAMPLES)[::FRAME_SAMPLES][:count]
    return views.astype(np.float32)


def _power(windows: _Array, size: int) -> _Array:
    spectrum = np.fft.rfft(windows, size)
    return (spectrum.real**2 + spectrum.imag**2).astype(np.float32)


def _by_rows(power: _Array, matrix: _Array) -> _Array:
    """Multiply row by row: a product over many rows may pick its order of summation by their number."""
    product: _Array = np.matmul(power[:, None, :], matrix)[:, 0, :]
    return product


@cache
def _kaldi_tables() -> tuple[_Array, _Array]:
    """Return the window of Povey and the triangles over 20 Hz to 8 kHz, [bins=257, bands=80]."""
    phase = 2.0 * np.pi * np.arange(BAND_SAMPLES) / (BAND_SAMPLES - 1)
    window = (0.5 - 0.5 * np.cos(phase)) ** 0.85
    corners = np.linspace(_kaldi_mel(_LOWEST_HZ), _kaldi_mel(SAMPLE_RATE / 2), KALDI_BANDS + 2)
    bins = _kaldi_mel(np.arange(257) * (SAMPLE_RATE / 512))
    matrix = _triangles(bins, corners)
    matrix[-1] = 0.0  # Kaldi leaves out the bin at half the sampling rate
    return window.astype(np.float32), matrix.astype(np.float32)


@cache
def _resemblyzer_tables() -> tuple[_Array, _Array]:
    """Return a Hann window and the triangles, each of one area, [bins=201, bands=40]."""
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(BAND_SAMPLES) / BAND_SAMPLES)
    corners = _slaney_hz(np.linspace(0.0, float(_slaney_mel(SAMPLE_RATE / 2)), RESEMBLYZER_BANDS + 2))
    matrix = _triangles(np.linspace(0.0, SAMPLE_RATE / 2, BAND_SAMPLES // 2 + 1), corners)
    matrix *= 2.0 / (corners[2:] - corners[:-2])
    return window.astype(np.float32), matrix.astype(np.float32)


def _triangles(bins: _Matrix, corners: _Matrix) -> _Matrix:
    widths = np.diff(corners)
    distances = corners[None, :] - bins[:, None]
    return np.maximum(0.0, np.minimum(-distances[:, :-2] / widths[:-1], distances[:, 2:] / widths[1:]))


def _kaldi_mel(hz: npt.ArrayLike) -> _Matrix:
    return 1127.0 * np.log(1.0 + np.asarray(hz, np.float64) / 700.0)


def _slaney_mel(hz: float) -> float:
    """Return mel of a frequency above 1 kHz, where the scale is logarithmic."""
    return 15.0 + float(np.log(hz / 1000.0)) * 27.0 / float(np.log(6.4))


def _slaney_hz(mel: _Matrix) -> _Matrix:
    return np.where(mel < 15.0, mel * (200.0 / 3.0), 1000.0 * np.exp((mel - 15.0) * np.log(6.4) / 27.0))
