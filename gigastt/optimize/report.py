"""The report of one optimisation: for people as lines, for programs as the JSON file beside the encoder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from gigastt.optimize.measure import Measurements
from gigastt.optimize.pipeline import PassResult
from gigastt.optimize.words import WordComparison


@dataclass(frozen=True, slots=True)
class Report:
    """What was made, from what, and what came of it. Sizes in bytes."""

    source_sha256: str
    sha256: str
    onnxruntime: str
    cpu: str
    source_bytes: int
    bytes: int
    passes: list[PassResult]
    measurements: Measurements
    words: WordComparison | None

    def to_json(self) -> str:
        """The sidecar's content: everything, and `padded_batch`, which a caller must heed before it pads."""
        content = asdict(self) | {"padded_batch": self.measurements.padded_batch}
        return json.dumps(content, ensure_ascii=False, indent=1, default=str) + "\n"

    def lines(self) -> list[str]:
        """For a terminal."""
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
        if self.words is not None:
            lines.append(
                f"Words that differ from the fp32 encoder's, over the clips that come along: {self.words.share:.1%} "
                f"({self.words.differing} of {self.words.words})."
            )
        for step in self.passes:
            if step.outcome == "not found":
                lines.append(f"Left out, its pattern is not in this file: {step.name}.")
            elif step.outcome == "undone":
                lines.append(f"Undone: {step.name} ({step.reason}).")
        return lines
