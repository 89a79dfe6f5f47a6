"""Measure two encoder files side by side as a worker would run them: time, error, and what padding does.

Owns two onnxruntime sessions of one thread for as long as it measures. Times are the best of rounds that take
turns, so that a busy machine disturbs both alike.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from gigastt.optimize.observe import Floats, make_trial, relative_difference

WINDOW_SECONDS = (0.96, 2.0, 5.0, 20.0)
PADDING_TOLERANCE = 0.05  # 8-bit scales alone move a row by 1 or 2 %; a missing mask by 30 %
_FRAMES_PER_SECOND = 100


@dataclass(frozen=True, slots=True)
class WindowTimes:
    """Milliseconds of one encoder pass, before and after, over a window of `seconds`."""

    seconds: float
    before_ms: float
    after_ms: float


@dataclass(frozen=True, slots=True)
class Measurements:
    """What optimising changed.

    largest_difference: of any output value, over all windows; encoder outputs are of order 1.
    relative_difference: root mean square, relative, the worst window.
    padding_difference: of a row that was padded in a batch against the same row alone, after; None: batch is fixed.
    """

    times: list[WindowTimes]
    largest_difference: float
    relative_difference: float
    padding_difference: float | None

    @property
    def padded_batch(self) -> bool:
        """Whether rows of different lengths may share a pass of the optimised encoder."""
        return self.padding_difference is not None and self.padding_difference <= PADDING_TOLERANCE


def measure(before: Path, after: Path, rounds: int = 3) -> Measurements:
    """Run both files over windows of 0.96 to 20 s and compare."""
    old, new = _Encoder(before), _Encoder(after)
    times: list[WindowTimes] = []
    largest = relative = 0.0
    for seconds in WINDOW_SECONDS:
        features = make_trial(1, round(seconds * _FRAMES_PER_SECOND)).features
        expected, got = old.run(features), new.run(features)
        largest = max(largest, float(np.abs(expected - got).max()))
        relative = max(relative, relative_difference(expected, got))
        best = [math.inf, math.inf]
        for _ in range(rounds):
            for number, encoder in enumerate((old, new)):
                best[number] = min(best[number], encoder.time(features))
        times.append(WindowTimes(seconds, round(best[0] * 1e3, 1), round(best[1] * 1e3, 1)))
    return Measurements(times, largest, relative, new.padding_difference())


class _Encoder:
    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._names = [value.name for value in self._session.get_inputs()]

    def run(self, features: Floats, lengths: list[int] | None = None) -> Floats:
        lengths = lengths or [features.shape[2]] * features.shape[0]
        feed = {self._names[0]: features, self._names[1]: np.array(lengths, np.int64)}
        encoded: Floats = self._session.run(None, feed)[0]
        return encoded

    def time(self, features: Floats) -> float:
        start = time.perf_counter()
        self.run(features)
        return time.perf_counter() - start

    def padding_difference(self) -> float | None:
        """How far padding in a batch moves the shorter row."""
        if isinstance(self._session.get_inputs()[0].shape[0], int):
            return None
        whole, short = make_trial(2, 300).features, 200
        padded = whole.copy()
        padded[1, :, short:] = 0.0
        together = self.run(padded, [whole.shape[2], short])[1]
        alone = self.run(padded[1:, :, :short])[0]
        return relative_difference(alone, together[:, : alone.shape[1]])
