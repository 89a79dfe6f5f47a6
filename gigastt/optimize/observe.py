"""Run a graph and look inside: shapes and values by which a pass recognises its pattern and is checked afterwards.

Owns the trial inputs and short-lived onnxruntime sessions of one thread. Sessions take the weights from memory, so
that looking at an 844 MB graph costs no copy of it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import ValueInfoProto

from gigastt.optimize.graph import Graph
from gigastt.speech.features import MELS
from gigastt.speech.model import Floats

Values: TypeAlias = dict[str, npt.NDArray[Any]]
SAME = 1e-4  # relative difference that float32 rounding explains
_LOOK_FRAMES = 85  # 22 encoder frames: short, and no other dimension of a known encoder
_ROW_DIFFERENCE = 1e-3  # rounding; a row that sees its neighbours differs by far more


def make_trial(batch: int, frames: int, seed: int = 0) -> Floats:
    """Return noise with the level and the slow changes of log-mel, the same for the same seed.

    float32 [batch, mel=64, frames]: rows of equal length.
    """
    random = np.random.default_rng(seed)
    steady = random.standard_normal((batch, MELS, 1)) * 2.0
    loudness = np.repeat(random.standard_normal((batch, 1, frames // 12 + 1)), 12, axis=2)[:, :, :frames]
    fine = random.standard_normal((batch, MELS, frames)) * 1.5
    trial: Floats = (-7.0 + steady + 2.5 * loudness + fine).astype(np.float32)
    return trial


def make_feed(graph: Graph, trial: Floats) -> Values:
    """Return a trial as the graph's inputs: the features, and the length of each row."""
    features, length = (value.name for value in graph.inputs[:2])
    return {features: trial, length: np.full(trial.shape[0], trial.shape[2], np.int64)}


def run_graph(graph: Graph, trials: list[Floats], outputs: list[str] | None = None) -> list[Values]:
    """Run the graph as it stands over each trial; return its outputs, or the named values, by name.

    Raises:
        ValueError: onnxruntime does not take the graph (the pass that made it is at fault).
    """
    names = graph.output_names if outputs is None else outputs
    model, apart = graph.model(external=True)
    kept = set(graph.output_names)
    model.graph.output.extend(ValueInfoProto(name=name) for name in names if name not in kept)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.enable_cpu_mem_arena = False  # which would keep 16-bit weights in 32 bits
    held = {name: onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(w)) for name, w in apart.items()}
    options.add_external_initializers(list(held), list(held.values()))
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return [dict(zip(names, session.run(names, make_feed(graph, trial)), strict=True)) for trial in trials]
    except Exception as exc:  # onnxruntime's own classes have no common base
        raise ValueError(str(exc).strip().partition("\n")[0]) from exc


def look_inside(graph: Graph, rows: int = 2, frames: int = _LOOK_FRAMES) -> Values:
    """Return every value of the graph for one short trial, weights and inputs included.

    Args:
        rows: of the trial; one if the graph takes no more.
        frames: feature frames of each row.
    """
    names = [name for node in graph.nodes for name in node.output if name]
    trial = make_trial(min(rows, graph.batch), frames)
    return {**graph.weights, **make_feed(graph, trial), **run_graph(graph, [trial], names)[0]}


def settle_batch(graph: Graph) -> None:
    """Make the declared batch true: dynamic if a row comes out of a batch as it does alone, else 1."""
    graph.batch = 2
    declared = [v.type.tensor_type.shape.dim for v in (*graph.inputs, *graph.outputs)]
    for dimensions in declared:
        if dimensions:
            dimensions[0].dim_param = "batch_size"
    pair = make_trial(2, _LOOK_FRAMES)
    try:
        alone, together = run_graph(graph, [pair[1:], pair])
        graph.batch = 2 if all(_is_row(alone[name], together[name]) for name in alone) else 1
    except ValueError:
        graph.batch = 1
    if graph.batch == 1:
        for dimensions in declared:
            if dimensions:
                dimensions[0].dim_value = 1


def _is_row(alone: npt.NDArray[Any], together: npt.NDArray[Any]) -> bool:
    return len(together) == 2 and relative_difference(alone, together[1:]) < _ROW_DIFFERENCE


def relative_difference(reference: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Return the root mean square of the difference over that of the reference; infinite if the shapes differ."""
    if reference.shape != other.shape:
        return float("inf")
    expected = reference.astype(np.float64)
    scale = np.sqrt(np.mean(np.square(expected)))
    error = np.sqrt(np.mean(np.square(expected - other)))
    return float(error / scale) if scale > 0 and np.isfinite(error) else float("inf")
