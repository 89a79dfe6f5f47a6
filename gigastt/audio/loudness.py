"""Loudness: audio far outside the range of speech is brought into it; everything else passes untouched.

Floats may exceed full scale: a block that does, by more than a few peaks, is scaled down and not clipped. A file
that stays below `QUIET_PEAK` all through is scaled up, before rounding to 16 bits would leave nothing of it. To know
that, audio is held back until something in it is louder, at most `_HELD_SAMPLES` (16 MiB); only a file that is quiet
for longer is decoded once more, for its peak.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from gigastt.audio.mixdown import Block
from gigastt.audio.pcm import Waveform
from gigastt.audio.timeline import Silence

QUIET_PEAK = 0.01  # -40 dBFS
RAISED_PEAK = 0.5
MOST_GAIN = 200.0  # 46 dB: a file of nothing but noise at -90 dBFS stays silent

_HELD_SAMPLES = 4 * 1024 * 1024
_FEW_PEAKS = 0.999  # the share of a block's samples that are to fit; the rest may be clipped
_DECAY = 0.9  # how fast the scale comes back after loud audio, each block


def bring_into_range(blocks: Iterator[Block | Silence], measure_peak: Callable[[], float]) -> Iterator[Block | Silence]:
    """Scale what is too quiet to be heard, or beyond full scale.

    Args:
        blocks: a whole file.
        measure_peak: finds the peak of the whole file, or one of at least `QUIET_PEAK`.
    """
    held: list[Block | Silence] = []
    count, peak = 0, 0.0
    for block in blocks:
        held.append(block)
        if isinstance(block, Block):
            count += len(block.waveform)
            peak = max(peak, QUIET_PEAK if block.is_exact else peak_of(block.waveform))
        if peak >= QUIET_PEAK:
            break
        if count >= _HELD_SAMPLES:
            peak = measure_peak()
            break
    scaler = _Scaler(min(RAISED_PEAK / peak, MOST_GAIN) if 0 < peak < QUIET_PEAK else 1.0)
    for block in held:
        yield scaler.scale(block)
    held.clear()
    for block in blocks:
        yield scaler.scale(block)


class _Scaler:
    """Applies a gain, and keeps the result within full scale."""

    def __init__(self, gain: float) -> None:
        self._gain = gain
        self._level = 1.0  # of recent audio, by which it is divided

    def scale(self, block: Block | Silence) -> Block | Silence:
        if isinstance(block, Silence) or block.is_exact:
            return block
        waveform = block.waveform if self._gain == 1.0 else block.waveform * np.float32(self._gain)
        highest = peak_of(waveform)
        self._level = max(self._level * _DECAY, 1.0)
        if highest > 1.0:
            place = int(_FEW_PEAKS * (len(waveform) - 1))
            self._level = max(self._level, float(np.partition(np.abs(waveform), place)[place]))
        if self._level > 1.0:
            waveform = waveform / np.float32(self._level)
        if highest > self._level:
            waveform = np.clip(waveform, -1.0, 1.0)
        return Block(block.rate, waveform)


def peak_of(waveform: Waveform) -> float:
    """Return the largest magnitude of float32 [samples]."""
    return float(max(waveform.max(), -waveform.min())) if len(waveform) else 0.0
