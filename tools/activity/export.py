"""Write the detector's ONNX file: `python -m tools.activity.export [--weights FILE] [--out FILE]`.

    features [B, T, 64], T a multiple of 4   → probability [B, T / 4]
    above [1, B, 64], last [1, B, 64], hidden [1, B, 24]   → next_above, next_last, next_hidden

At the beginning of a stream the state is 0, 100 ("no block yet") and 0. The floor is an RNN with identity
weights and a LeakyReLU, so that the graph needs no loop. Every step sees one block, so units of any number of
blocks follow each other.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from tools.activity.network import BANDS, HIDDEN, LEAK, LOWEST, RISE, Weights

SHIPPED = Path(__file__).resolve().parents[2] / "gigastt" / "speech" / "data" / "activity.onnx"
OPSET, IR_VERSION = 18, 9


class _Graph:
    """A graph under construction; nodes are named by their output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, npt.NDArray[Any]] = {}

    def constant(self, name: str, value: npt.ArrayLike, dtype: type = np.float32) -> str:
        self.constants[name] = np.asarray(value, dtype)
        return name

    def add(self, operator: str, inputs: list[str], *outputs: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, list(outputs), name=outputs[0], **attributes))
        return outputs[0]


def build(weights: Weights) -> onnx.ModelProto:
    """Build the model.

    Raises:
        onnx.checker.ValidationError: the graph is not valid ONNX.
    """
    graph = _Graph()
    mean = _add_pooling(graph)
    above = _add_floor(graph, mean)
    dense = _add_dense(graph, mean, above, weights)
    _add_recurrence(graph, dense, weights)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "activity",
            _tensors({"features": ("B", "T", BANDS)} | _state("above", "last", "hidden")),
            _tensors({"probability": ("B", "N")} | _state("next_above", "next_last", "next_hidden")),
            [numpy_helper.from_array(value, name) for name, value in graph.constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _add_pooling(graph: _Graph) -> str:
    """Clamp and average: `pairs` [n, B, 2, 64]; returns the blocks' `mean` [n, B, 64]."""
    graph.add("Max", ["features", graph.constant("lowest", LOWEST)], "clamped")
    graph.add("Reshape", ["clamped", graph.constant("fours", [0, -1, 2, 2, BANDS], np.int64)], "by_pair")
    graph.add("Transpose", ["by_pair"], "by_block", perm=[1, 0, 2, 3, 4])
    graph.add("ReduceMean", ["by_block", graph.constant("axis_3", [3], np.int64)], "pairs", keepdims=0)
    return graph.add("ReduceMean", ["pairs", graph.constant("axis_2", [2], np.int64)], "mean", keepdims=0)


def _add_floor(graph: _Graph, mean: str) -> str:
    """Follow the floor; returns the distance over it [n, B, 64]."""
    zero, axis = graph.constant("zero", [0], np.int64), graph.constant("axis_0", [0], np.int64)
    one, minus_one = graph.constant("one", [1], np.int64), graph.constant("minus_one", [-1], np.int64)
    graph.add("Slice", [mean, zero, one, axis], "first")
    graph.add("Greater", ["last", graph.constant("fifty", 50.0)], "unseen")
    graph.add("Where", ["unseen", "first", "last"], "last_seen")
    graph.add("Slice", [mean, zero, minus_one, axis], "head")
    graph.add("Concat", ["last_seen", "head"], "before", axis=0)
    graph.add("Sub", [mean, "before"], "step")
    identity = graph.constant("identity", np.eye(BANDS)[None])
    rise = graph.constant("rise", np.concatenate([np.full((1, BANDS), -RISE), np.zeros((1, BANDS))], axis=1))
    graph.add(
        "RNN",
        ["step", identity, identity, rise, "", "above"],
        "above_by_direction",
        "next_above",
        hidden_size=BANDS,
        activations=["LeakyRelu"],
        activation_alpha=[LEAK],
    )
    graph.add("Slice", [mean, minus_one, graph.constant("far", [2**31], np.int64), axis], "next_last")
    return graph.add("Squeeze", ["above_by_direction", graph.constant("axis_1", [1], np.int64)], "above_floor")


def _add_dense(graph: _Graph, mean: str, above: str, weights: Weights) -> str:
    """Join what the network sees and pass it through the dense layer [n, B, 24]."""
    graph.add("Sub", [mean, above], "floor")
    graph.add("Unsqueeze", ["floor", "axis_2"], "floor_of_pair")
    graph.add("Sub", ["pairs", "floor_of_pair"], "over")
    graph.add("Mul", ["over", graph.constant("quarter", 0.25)], "over_scaled")
    graph.add("Clip", ["over_scaled", graph.constant("low", -0.5), graph.constant("high", 2.0)], "over_clipped")
    graph.add("Reshape", ["over_clipped", graph.constant("flat", [0, 0, 2 * BANDS], np.int64)], "over_flat")
    graph.add("Add", [mean, graph.constant("eight", 8.0)], "mean_shifted")
    graph.add("Mul", ["mean_shifted", "quarter"], "level")
    graph.add("Concat", ["over_flat", "level"], "seen", axis=2)
    graph.add("MatMul", ["seen", graph.constant("inp_w", weights.inp_w)], "dense_product")
    graph.add("Add", ["dense_product", graph.constant("inp_b", weights.inp_b)], "dense_sum")
    return graph.add("Relu", ["dense_sum"], "dense")


def _add_recurrence(graph: _Graph, dense: str, weights: Weights) -> None:
    """GRU and output."""
    bias = np.concatenate([_gates(weights.gru_b), _gates(weights.gru_c)])[None]
    inputs = [
        dense,
        graph.constant("gru_w", _gates(weights.gru_w).T[None]),
        graph.constant("gru_u", _gates(weights.gru_u).T[None]),
        graph.constant("gru_b", bias),
    ]
    graph.add(
        "GRU", [*inputs, "", "hidden"], "states_by_direction", "next_hidden", hidden_size=HIDDEN, linear_before_reset=1
    )
    graph.add("Squeeze", ["states_by_direction", "axis_1"], "states")
    graph.add("Concat", ["states", dense], "both", axis=2)
    graph.add("MatMul", ["both", graph.constant("out_w", weights.out_w[:, None])], "logit_product")
    graph.add("Add", ["logit_product", graph.constant("out_b", weights.out_b)], "logit")
    graph.add("Sigmoid", ["logit"], "probability_by_block")
    graph.add("Squeeze", ["probability_by_block", "axis_2"], "probability_by_row")
    graph.add("Transpose", ["probability_by_row"], "probability", perm=[1, 0])


def _gates(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Reorder gates from reset, update, new to ONNX's update, reset, new."""
    reset, update, new = np.split(values, 3, axis=-1)
    return np.ascontiguousarray(np.concatenate([update, reset, new], axis=-1))


_Shapes: TypeAlias = dict[str, tuple[str | int, ...]]


def _state(above: str, last: str, hidden: str) -> _Shapes:
    return {above: (1, "B", BANDS), last: (1, "B", BANDS), hidden: (1, "B", HIDDEN)}


def _tensors(shapes: _Shapes) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in shapes.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="an .npz of the training; those of this folder without it")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    arguments = parser.parse_args()
    onnx.save(build(Weights.load(arguments.weights) if arguments.weights else Weights.load()), arguments.out)
    print(arguments.out, arguments.out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
