"""Turn an fp32 encoder into the fastest int8 encoder for this machine.

    fp32 file → graph → passes, each checked against the graph before it → int8 file + report (JSON beside it)

onnx, onnxruntime and numpy only. Runs in the command line's process or in a child, never in a worker.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime

from gigastt.errors import ModelInvalid
from gigastt.models.catalog import DECODER, JOINT, VOCABULARY
from gigastt.models.disk import rename_durably, write_atomically
from gigastt.models.prepacked import cpu_name
from gigastt.models.seals import sha256_of
from gigastt.optimize.graph import Graph
from gigastt.optimize.measure import measure
from gigastt.optimize.pipeline import PASSES, Pass, PassResult, run_passes
from gigastt.optimize.report import Report
from gigastt.optimize.words import WordComparison, compare_words
from gigastt.speech.model import TripletFiles

__all__ = ["DISK_FACTOR", "MEMORY_FACTOR", "Report", "optimize"]

MEMORY_FACTOR = 4.0  # peak of the process over the size of the fp32 file: measured 3.4
DISK_FACTOR = 0.85  # the int8 file (0.27) and its weights as workers share them (0.54)


def optimize(
    source: Path,
    target: Path,
    *,
    progress: Callable[[str], None] | None = None,
    passes: tuple[Pass, ...] = PASSES,
) -> Report:
    """Write the optimised encoder to `target`, whole or not at all, and its report beside it.

    Args:
        source: an fp32 encoder; decoder, joint and vocabulary beside it allow the comparison of words.
        target: the file to write; the report gets the same name with `.json`.
        progress: told what is being done, a few words each time.

    Raises:
        ModelInvalid: the source is no encoder that onnxruntime runs; nothing is left behind.
    """
    tell = progress or (lambda _: None)
    tell("reading")
    try:
        graph, results = run_passes(Graph.load(source), passes, progress)
    except ValueError as exc:
        raise ModelInvalid(f"Expected an encoder in {source.name}, but onnxruntime cannot run it.") from exc
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        onnx.save(graph.model(external=False)[0], partial)
        del graph
        tell("measuring")
        report = _report(source, partial, results, tell)
        rename_durably(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    write_atomically(target.with_suffix(".json"), report.to_json().encode())
    return report


def _report(source: Path, made: Path, results: list[PassResult], tell: Callable[[str], None]) -> Report:
    measurements = measure(source, made)
    tell("comparing words")
    return Report(
        source_sha256=sha256_of(source),
        sha256=sha256_of(made),
        onnxruntime=onnxruntime.__version__,
        cpu=cpu_name(),
        source_bytes=source.stat().st_size,
        bytes=made.stat().st_size,
        passes=results,
        measurements=measurements,
        words=_compare_words(source, made),
    )


def _compare_words(source: Path, made: Path) -> WordComparison | None:
    """Compare transcripts where the other files of the model lie beside the source."""
    files = TripletFiles(source, *(source.with_name(name) for name in (DECODER, JOINT, VOCABULARY)))
    if not all(path.is_file() for path in (files.decoder, files.joint, files.vocabulary)):
        return None
    return compare_words(files, made)
