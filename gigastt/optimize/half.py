"""An encoder for a card: 16-bit numbers, and rows of different lengths that may share a pass.

Plain operators only: they run on every card, and onnxruntime fuses them there. What depends on lengths and shapes alone
stays as it is: 16 bits count to 2,048, and a window has 2,050 frames.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from gigastt.errors import ModelInvalid
from gigastt.models.disk import rename_durably
from gigastt.optimize.fold import downstream, fold_constants, join_norms
from gigastt.optimize.graph import Graph, attribute
from gigastt.optimize.observe import look_inside, make_trial, relative_difference
from gigastt.optimize.pipeline import Pass, run_passes
from gigastt.optimize.rows import mask_rows
from gigastt.speech.model import CtcEncoder, Encoder, Floats

HALVED = 0.02  # relative difference of an encoder in 16 bits; trained ones stay near 0.003
_TRIALS = (96, 500, 2000)  # feature frames


def halve(graph: Graph) -> int:
    """Compute with 16 bits whatever depends on the audio; inputs and outputs keep their types."""
    values, source = look_inside(graph), graph.inputs[0].name
    audio = downstream(graph, source, through_shapes=False)
    halves: dict[str, str] = {}  # of values that stay as they are, the names of their 16-bit copies

    def half_of(name: str) -> str:
        is_wide = name in values and values[name].dtype == np.float32 and (name == source or name not in audio)
        if is_wide and name not in halves:
            weight = graph.weights.get(name)
            kept = None if weight is None else graph.store(weight.astype(np.float16))
            halves[name] = kept or graph.add("Cast", [name], to=TensorProto.FLOAT16)[0]
        return halves.get(name, name)

    nodes = [node for node in graph.nodes if audio.intersection(node.output)]
    for node in nodes:
        node.input[:] = [half_of(name) for name in node.input]
        if node.op_type == "Cast" and attribute(node, "to") == TensorProto.FLOAT:
            node.attribute[0].i = TensorProto.FLOAT16
    for name in graph.output_names:
        if name in audio and values[name].dtype == np.float32:
            _widen(graph, name)
    return len(nodes)


def _widen(graph: Graph, output: str) -> None:
    """Cast an output that has become one of 16 bits to the type that it had."""
    [narrow] = graph.add("Cast", [output], to=TensorProto.FLOAT)
    cast = graph.nodes.pop()
    for node in graph.nodes:
        node.input[:] = [narrow if name == output else name for name in node.input]
        node.output[:] = [narrow if name == output else name for name in node.output]
    cast.input[0], cast.output[0] = narrow, output
    graph.nodes.append(cast)


FOR_CARDS = (
    Pass("constants kept as weights", fold_constants),
    Pass("layer norms joined", join_norms),
    Pass("rows masked behind their ends", mask_rows),
    Pass("16-bit numbers", halve, HALVED),
)


def halve_encoder(source: Path, target: Path, progress: Callable[[str], None] = lambda step: None) -> list[str]:
    """Write an encoder for cards to `target`, whole or not at all; return what to tell of it.

    Raises:
        ModelInvalid: the source is no encoder that onnxruntime runs, or not one in 16 bits; nothing is left behind.
    """
    progress("reading")
    try:
        graph, results = run_passes(Graph.load(source), FOR_CARDS, progress)
    except ValueError as exc:
        raise ModelInvalid(f"Expected an encoder in {source.name}, but onnxruntime cannot run it.") from exc
    if (last := results[-1]).outcome != "done":
        raise ModelInvalid(f"{source.name} does not work with 16-bit numbers: {last.reason or last.outcome}.")
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        onnx.save(graph.model(external=False)[0], partial)
        kind = CtcEncoder if len(graph.outputs) == 1 else Encoder
        del graph
        progress("measuring")
        lines = _compare(source, partial, kind)
        rename_durably(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return lines


def _compare(source: Path, made: Path, kind: type[Encoder]) -> list[str]:
    trials = [make_trial(1, frames) for frames in _TRIALS]

    def encode(encoder: Encoder) -> list[Floats]:
        return [encoder.encode(trial, np.array([trial.shape[2]]))[0] for trial in trials]

    expected = encode(kind(source))  # one encoder in memory at a time
    encoder = kind(made)
    difference = max(map(relative_difference, expected, encode(encoder)))
    padding = "may" if encoder.takes_padding() else "may not"
    return [
        f"Size: {source.stat().st_size / 2**20:.0f} MiB before, {made.stat().st_size / 2**20:.0f} MiB after.",
        f"Difference of the output: {difference:.2%} of the signal.",
        f"Windows of different lengths {padding} share a pass.",
    ]
