"""Resampling: any rate in, 16 kHz int16 out, the same bits for every way of cutting the input.

soxr runs in float32 (in int16 it dithers, and results would depend on the cut) and its output is rounded to
int16 once, behind it. One resampler belongs to one channel of one session or file; it is never restarted.
"""

from __future__ import annotations

import numpy as np
import soxr

from gigastt.audio.pcm import SAMPLE_RATE, Samples, Waveform, to_int16

SAMPLE_RATE_RANGE = (8_000, 192_000)  # Hz; what a live client may send, any whole number
SUPPORTED_RATES = (8_000, 16_000, 24_000, 44_100, 48_000)  # the usual ones, as clients have always been told


class Resampler:
    """One channel's way from its own rate to 16 kHz."""

    def __init__(self, rate: int) -> None:
        """Begin at the first sample.

        Args:
            rate: of the input, in Hz; files come at any, live clients at one within `SAMPLE_RATE_RANGE`.
        """
        self._stream = None if rate == SAMPLE_RATE else soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")

    def push(self, waveform: Waveform) -> Samples:
        """Take the next samples, float32 [samples]; return what they complete (soxr holds up to 0.1 s back)."""
        if self._stream is None:
            return to_int16(waveform)
        if not len(waveform):
            return np.zeros(0, dtype=np.int16)
        return to_int16(self._stream.resample_chunk(waveform))

    def flush(self) -> Samples:
        """Return what is still held back. Nothing may be pushed afterwards."""
        if self._stream is None:
            return np.zeros(0, dtype=np.int16)
        stream, self._stream = self._stream, None
        return to_int16(stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True))
