"""One encoder made fast: fp32 file → graph → passes → int8 file, measured, with its report as JSON beside it.

onnx, onnxruntime and numpy only. Runs in the command line's process or in a child, never in a worker.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime

from gigastt.errors import ModelInvalid
from gigastt.models.catalog import FileNames
from gigastt.models.disk import rename_durably, sha256_of, write_atomically
from gigastt.models.prepacked import cpu_name
from gigastt.optimize.graph import Graph
from gigastt.optimize.pipeline import PassResult, run_passes
from gigastt.optimize.report import Report, measure
from gigastt.optimize.words import judge_words
from gigastt.speech.model import recogniser_files

_NAMES = FileNames()


def optimize_encoder(
    source: Path, target: Path, names: FileNames = _NAMES, progress: Callable[[str], None] = lambda step: None
) -> Report:
    """Write the optimised encoder to `target`, whole or not at all, and its report beside it.

    Args:
        source: an fp32 encoder; the model's other files beside it allow the judgement by words.
        target: the file to write; the report gets the same name with `.json`.
        names: what those files are called.
        progress: called with a few words at the beginning of every step.

    Raises:
        ModelInvalid: the source is no encoder that onnxruntime runs; nothing is left behind.
    """
    progress("reading")
    try:
        graph, results = run_passes(Graph.load(source), progress=progress)
    except ValueError as exc:
        raise ModelInvalid(f"Expected an encoder in {source.name}, but onnxruntime cannot run it.") from exc
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        onnx.save(graph.model(external=False)[0], partial)
        del graph
        report = _report(source, partial, names, results, progress)
        rename_durably(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    write_atomically(target.with_suffix(".json"), report.to_json().encode())
    return report


def _report(
    source: Path, made: Path, names: FileNames, results: list[PassResult], progress: Callable[[str], None]
) -> Report:
    progress("measuring")
    measurements = measure(source, made)
    progress("comparing words")
    decoder, joint = (source.with_name(name) if name else None for name in (names.decoder, names.joint))
    files = recogniser_files(source, decoder, joint, source.with_name(names.vocabulary))
    complete = all(source.with_name(name).is_file() for name in names.common)
    return Report(
        source_sha256=sha256_of(source),
        sha256=sha256_of(made),
        onnxruntime=onnxruntime.__version__,
        cpu=cpu_name(),
        source_bytes=source.stat().st_size,
        bytes=made.stat().st_size,
        passes=results,
        measurements=measurements,
        judgement=judge_words(files, made) if complete else None,
    )
