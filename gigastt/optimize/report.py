"""The report of one optimisation: two encoder files measured side by side, as a worker would run them.

Written as lines for people, and as the JSON file beside the encoder for programs. Times are the best of rounds that
take turns, so that a busy machine disturbs both encoders alike.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from gigastt.optimize.observe import make_trial, relative_difference
from gigastt.optimize.pipeline import PassResult
from gigastt.optimize.words import MOST_POINTS, Judgement
from gigastt.speech.model import Floats

WINDOW_SECONDS = (0.96, 2.0, 5.0, 20.0)
PADDING_TOLERANCE = 0.05  # 8-bit scales alone move a row by 1 or 2 %; a missing mask by 30 %
_FRAMES_PER_SECOND = 100
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class WindowTimes:
    """Milliseconds of one encoder pass, before and after, over a window of `seconds`."""

    seconds: float
    before_ms: float
    after_ms: float


@dataclass(frozen=True, slots=True)
class Measurements:
    """The changes that optimising made.

    largest_difference: of any output value, over all windows; encoder outputs are of order 1.
    relative_difference: root mean square, relative, the worst window.
    padding_difference: of a row that was padded in a batch against the same row alone, after; None: batch is fixed.
    """

    times: list[WindowTimes]
    largest_difference: float
    relative_difference: float
    padding_difference: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """The file that was made, its source, and how they compare. Sizes in bytes."""

    source_sha256: str
    sha256: str
    onnxruntime: str
    cpu: str
    source_bytes: int
    bytes: int
    passes: list[PassResult]
    measurements: Measurements
    judgement: Judgement | None

    def to_json(self) -> str:
        """Return the sidecar's content: everything, and what others go by.

        padded_batch: rows of different lengths may share a pass.
        is_default: `--precision auto` may take this file where the fp32 one is here, too.
        """
        padding = self.measurements.padding_difference
        content = asdict(self) | {
            "padded_batch": padding is not None and padding <= PADDING_TOLERANCE,
            "is_default": self.judgement is None or self.judgement.is_good,
        }
        return json.dumps(content, ensure_ascii=False, indent=1, default=str) + "\n"

    def lines(self) -> list[str]:
        """Return the report for a terminal."""
        lines = [f"Size: {self.source_bytes / 2**20:.0f} MiB before, {self.bytes / 2**20:.0f} MiB after."]
        for window in self.measurements.times:
            lines.append(
                f"{window.seconds:5.2f} s of audio: {window.before_ms:7.1f} ms before, {window.after_ms:6.1f} ms after "
                f"({window.before_ms / window.after_ms:.2f} times as fast)."
            )
        lines.append(
            f"Largest difference of an output value: {self.measurements.largest_difference:.3f} "
            f"({self.measurements.relative_difference:.2%} of the signal)."
        )
        if (judgement := self.judgement) is not None:
            before, after = judgement.before, judgement.after
            lines += [
                f"Words wrong, of {before.words // 2} words of real speech, each heard twice: "
                f"{before.error_rate:.1f} % before, {after.error_rate:.1f} % after ({judgement.points:+.2f} points).",
                f"Mean confidence of a word: {before.confidence:.3f} before, {after.confidence:.3f} after.",
                _verdict(judgement),
            ]
        for step in self.passes:
            if step.outcome == "not found":
                lines.append(f"Left out, its pattern is not in this file: {step.name}.")
            elif step.outcome == "undone":
                lines.append(f"Undone: {step.name} ({step.reason}).")
        return lines


def _verdict(judgement: Judgement) -> str:
    if not judgement.is_telling:
        return "No judge of words: this model hears more of them wrong than there are. The new encoder is loaded."
    if judgement.is_good:
        return f"Good: within {MOST_POINTS} points; this is the encoder that is loaded from now on."
    return f"Refused: over {MOST_POINTS} points; `--precision auto` goes on with fp32 as long as it is here."


def measure(before: Path, after: Path) -> Measurements:
    """Run both files over windows of 0.96 to 20 s and compare."""
    encoders = [_Runner(before), _Runner(after)]
    times: list[WindowTimes] = []
    largest = relative = 0.0
    for seconds in WINDOW_SECONDS:
        features = make_trial(1, round(seconds * _FRAMES_PER_SECOND))
        expected, got = (encoder.run(features) for encoder in encoders)
        largest = max(largest, float(np.abs(expected - got).max()))
        relative = max(relative, relative_difference(expected, got))
        best = [math.inf, math.inf]
        for _ in range(_ROUNDS):
            for number, encoder in enumerate(encoders):
                start = time.perf_counter()
                encoder.run(features)
                best[number] = min(best[number], time.perf_counter() - start)
        times.append(WindowTimes(seconds, round(best[0] * 1e3, 1), round(best[1] * 1e3, 1)))
    return Measurements(times, largest, relative, encoders[1].measure_padding())


class _Runner:
    """An encoder file in a session of one thread."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(self, features: Floats, lengths: list[int] | None = None) -> Floats:
        lengths = lengths or [features.shape[2]] * features.shape[0]
        names = [value.name for value in self._session.get_inputs()]
        encoded: Floats = self._session.run(None, {names[0]: features, names[1]: np.array(lengths, np.int64)})[0]
        return encoded

    def measure_padding(self) -> float | None:
        """Return how far padding in a batch moves the shorter row; None if the batch is fixed."""
        if isinstance(self._session.get_inputs()[0].shape[0], int):
            return None
        padded, short = make_trial(2, 300), 200
        padded[1, :, short:] = 0.0
        together = self.run(padded, [300, short])[1]
        alone = self.run(padded[1:, :, :short])[0]
        return relative_difference(alone, together[: alone.shape[0], : alone.shape[1]])
