"""Log-mel features: 16 kHz samples in, 64 numbers for every 10 ms out.

GigaAM v3's front end: periodic Hann window of 320 samples, hop 160, no centring, power spectrum, 64 HTK
mel bins without normalisation, `log(max(x, 1e-9))`. Its published checkpoint keeps the window and the mel
matrix in bfloat16, so they are rounded to that here. In plain float32 a clip's features differ by 0.004 to 0.1 in the
mean, and by up to 6.4 in single bins: quiet ones, into which the rounded window leaks (over 55 clips; by up to 0.85 in
bins above -8).

Frame i covers samples [160 i, 160 i + 320), whatever the pieces the samples came in, and every frame has
the same bits however many are computed with it: all steps are elementwise or go row by row (a matrix product
over many rows would pick its summation order by their number, and perhaps by the number of threads).

An extractor and a buffer belong to one stream and are called by the thread that owns it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from gigastt.audio.pcm import SAMPLE_RATE, Samples
from gigastt.speech.tokens import FRAME_SAMPLES, WINDOW_SAMPLES, Features

MELS = 64
_BINS = WINDOW_SAMPLES // 2 + 1
_SMALLEST = 64  # frames of a buffer
_BLOCK_FRAMES = 100  # what is computed at once stays in the cache
_LOWEST_POWER = np.float32(1e-9)  # int16 samples cannot reach the front end's upper bound of 1e9
_BAND_SPLIT = 40  # low mel bins see few frequencies, high ones many: two small products instead of one

_Array = npt.NDArray[np.float32]


class FeatureExtractor:
    """Turn a stream of samples into frames; a fresh one begins at the first sample pushed."""

    def __init__(self) -> None:
        self._pending: Samples = np.zeros(0, dtype=np.int16)

    def push(self, samples: Samples) -> Features:
        """Take the next samples and return the frames they complete, float32 [frames, mel=64]."""
        pending = np.concatenate((self._pending, samples)) if self._pending.size else samples
        frames = max(0, len(pending) - WINDOW_SAMPLES + FRAME_SAMPLES) // FRAME_SAMPLES
        self._pending = pending[frames * FRAME_SAMPLES :].copy()
        return _log_mel(pending, frames, _PUBLISHED)


class FeatureBuffer:
    """A window of the stream's log-mel, from `first` to before `end`: appended at the end, dropped at the front.

    Holds a few kilobytes while nothing is open and at most about a megabyte in a long utterance.
    """

    def __init__(self, first: int) -> None:
        self.first = first
        self._rows: Features = np.empty((_SMALLEST, MELS), np.float32)
        self._used = 0

    @property
    def end(self) -> int:
        """The frame after the last one."""
        return self.first + self._used

    def append(self, features: Features) -> None:
        """Take the next frames, float32 [frames, mel=64]."""
        used = self._used + len(features)
        if used > len(self._rows):
            self._resize(max(used, 2 * len(self._rows)))
        self._rows[self._used : used] = features
        self._used = used

    def drop_before(self, frame: int) -> None:
        """Forget the frames before `frame`."""
        count = min(max(0, frame - self.first), self._used)
        if not count:
            return
        kept = self._used - count
        self._rows[:kept] = self._rows[count : self._used]
        self.first += count
        self._used = kept
        if len(self._rows) > max(_SMALLEST, 4 * kept):
            self._resize(max(_SMALLEST, 2 * kept))

    def read(self, first: int, end: int) -> Features:
        """Return a copy of frames `first` to before `end`."""
        if not self.first <= first <= end <= self.end:
            raise IndexError(f"Expected frames within {self.first}..{self.end}, but got {first}..{end}.")
        return self._rows[first - self.first : end - self.first].copy()

    def _resize(self, capacity: int) -> None:
        rows = np.empty((capacity, MELS), np.float32)
        rows[: self._used] = self._rows[: self._used]
        self._rows = rows


def log_mel(samples: Samples) -> Features:
    """Return all frames of a whole waveform, float32 [frames, mel=64]: the bits that streaming gives."""
    return FeatureExtractor().push(samples)


def log_mel_unrounded(samples: Samples) -> Features:
    """Return all frames with window and mel matrix in float32: what a recogniser hears must hardly depend on that."""
    return _log_mel(samples, max(0, len(samples) - WINDOW_SAMPLES + FRAME_SAMPLES) // FRAME_SAMPLES, _UNROUNDED)


def _log_mel(samples: Samples, frames: int, tables: _Tables) -> Features:
    features = np.empty((frames, MELS), dtype=np.float32)
    for begin in range(0, frames, _BLOCK_FRAMES):
        block = features[begin : begin + _BLOCK_FRAMES]
        hops = samples[begin * FRAME_SAMPLES : (begin + len(block) + 1) * FRAME_SAMPLES]
        _fill_block(block, hops.reshape(len(block) + 1, FRAME_SAMPLES).astype(np.float32), tables)
    return features


def _fill_block(features: Features, hops: _Array, tables: _Tables) -> None:
    """Compute frames [n, 64] in place from n + 1 hops of 160 samples."""
    frames = len(features)
    windowed = np.empty((frames, WINDOW_SAMPLES), dtype=np.float32)
    np.multiply(hops[:-1], tables.window[:FRAME_SAMPLES], out=windowed[:, :FRAME_SAMPLES])
    np.multiply(hops[1:], tables.window[FRAME_SAMPLES:], out=windowed[:, FRAME_SAMPLES:])
    spectrum = np.fft.rfft(windowed)
    power = spectrum.real * spectrum.real
    imaginary = spectrum.imag
    power += imaginary * imaginary
    for (first_bin, last_bin), mels, weights in tables.bands:
        # [n, 1, bins] @ [bins, mels] is n products of one shape, so a row's bits do not depend on n
        np.matmul(power[:, None, first_bin:last_bin], weights, out=features[:, None, mels])
    np.maximum(features, _LOWEST_POWER, out=features)
    np.log(features, out=features)


def _round_to_bfloat16(values: npt.NDArray[np.float64]) -> _Array:
    """Round to the nearest bfloat16, ties to even, kept as float32."""
    bits = values.astype(np.float32).view(np.uint32).astype(np.uint64)
    bits += 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))
    return (bits & np.uint64(0xFFFF0000)).astype(np.uint32).view(np.float32)


def _to_float32(values: npt.NDArray[np.float64]) -> _Array:
    return values.astype(np.float32)


def _hann_window() -> npt.NDArray[np.float64]:
    phase = 2.0 * np.pi * np.arange(WINDOW_SAMPLES) / WINDOW_SAMPLES
    return 0.5 - 0.5 * np.cos(phase)


def _mel_matrix() -> npt.NDArray[np.float64]:
    """Return HTK triangles over 0 to 8 kHz, [bins=161, mel=64]."""
    frequencies = np.linspace(0.0, SAMPLE_RATE / 2, _BINS)
    top = 2595.0 * np.log10(1.0 + SAMPLE_RATE / 2 / 700.0)
    corners = 700.0 * (10.0 ** (np.linspace(0.0, top, MELS + 2) / 2595.0) - 1.0)
    widths = np.diff(corners)
    distances = corners[None, :] - frequencies[:, None]
    rising = -distances[:, :-2] / widths[:-1]
    falling = distances[:, 2:] / widths[1:]
    return np.maximum(0.0, np.minimum(rising, falling))


class _Tables:
    """Window and mel matrix, rounded in one way; the matrix is cut into bands of [bins, mels]."""

    def __init__(self, rounded: Callable[[npt.NDArray[np.float64]], _Array]) -> None:
        # the samples' scale is a power of two, so folding it in changes no bit
        self.window = rounded(_hann_window()) * np.float32(1 / 32768)
        matrix = rounded(_mel_matrix())
        self.bands = tuple(_cut_band(matrix, mels) for mels in (slice(0, _BAND_SPLIT), slice(_BAND_SPLIT, MELS)))


def _cut_band(matrix: _Array, mels: slice) -> tuple[tuple[int, int], slice, _Array]:
    used = np.flatnonzero(matrix[:, mels].any(axis=1))
    bins = (int(used[0]), int(used[-1]) + 1)
    return bins, mels, np.ascontiguousarray(matrix[slice(*bins), mels])


_PUBLISHED = _Tables(_round_to_bfloat16)
_UNROUNDED = _Tables(_to_float32)
