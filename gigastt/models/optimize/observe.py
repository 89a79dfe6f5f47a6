"""Run a graph and look inside: what a pass recognises by shape and value, and what checks it afterwards.

Owns the trial inputs and short-lived onnxruntime sessions of one thread. Sessions take the weights from memory,
so that looking at an 844 MB graph costs no copy of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import ValueInfoProto

from gigastt.models.optimize.graph import Graph

Floats: TypeAlias = npt.NDArray[np.float32]
Values: TypeAlias = dict[str, npt.NDArray[Any]]
MELS = 64
_LOOK_FRAMES = 85  # 22 encoder frames: short, and no other dimension of a known encoder


@dataclass(frozen=True, slots=True)
class Trial:
    """One input: rows of equal length.

    features: log-mel-like noise, float32 [batch, mel=64, frames].
    """

    features: Floats

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        return np.full(self.features.shape[0], self.features.shape[2], np.int64)


def make_trial(batch: int, frames: int, seed: int = 0) -> Trial:
    """Noise with the level and the slow changes of log-mel, the same for the same seed."""
    random = np.random.default_rng(seed)
    steady = random.standard_normal((batch, MELS, 1)) * 2.0
    loudness = np.repeat(random.standard_normal((batch, 1, frames // 12 + 1)), 12, axis=2)[:, :, :frames]
    fine = random.standard_normal((batch, MELS, frames)) * 1.5
    return Trial((-7.0 + steady + 2.5 * loudness + fine).astype(np.float32))


def run(graph: Graph, trials: list[Trial], outputs: list[str] | None = None) -> list[Values]:
    """Run the graph as it stands over each trial; returns its outputs, or the named values, by name.

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
    held = {name: onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(w)) for name, w in apart.items()}
    options.add_external_initializers(list(held), list(held.values()))
    features, length = (value.name for value in graph.inputs[:2])
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return [
            dict(zip(names, session.run(names, {features: t.features, length: t.lengths}), strict=True)) for t in trials
        ]
    except Exception as exc:
        raise ValueError(str(exc)) from exc


def look_inside(graph: Graph) -> Values:
    """Every value of the graph for one short trial of two rows (where the graph takes two), weights included."""
    names = [name for node in graph.nodes for name in node.output if name]
    return {**graph.weights, **run(graph, [make_trial(min(2, graph.batch), _LOOK_FRAMES)], names)[0]}


def free_batch(graph: Graph) -> None:
    """Make the batch dynamic where the exporter fixed it, if the graph runs with another batch at all."""
    graph.batch = 2
    fixed = [v for v in (*graph.inputs, *graph.outputs) if v.type.tensor_type.shape.dim[0].HasField("dim_value")]
    if not fixed:
        return
    sizes = [value.type.tensor_type.shape.dim[0].dim_value for value in fixed]
    for value in fixed:
        value.type.tensor_type.shape.dim[0].dim_param = "batch_size"
    try:
        run(graph, [make_trial(2, _LOOK_FRAMES)])
    except ValueError:
        for value, size in zip(fixed, sizes, strict=True):
            value.type.tensor_type.shape.dim[0].dim_value = size
        graph.batch = 1


def relative_difference(reference: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Root mean square of the difference over that of the reference; infinite where the shapes differ."""
    if reference.shape != other.shape:
        return float("inf")
    scale = float(np.sqrt(np.mean(np.square(reference.astype(np.float64)))))
    error = float(np.sqrt(np.mean(np.square(reference.astype(np.float64) - other.astype(np.float64)))))
    return error / scale if scale > 0 and np.isfinite(error) else float("inf")
