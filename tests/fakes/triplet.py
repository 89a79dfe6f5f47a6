"""Tiny models of the triplet's contract, with random weights, in the forms that exporters write.

encoder: one convolution, four feature frames to one encoder frame. decoder: embedding and LSTM. joint: two
projections, ReLU, one more, log-softmax.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from gigastt.speech.model import TripletFiles

DIM = 6
STATE = 4
HIDDEN = 5
VOCABULARY = 7
Shape = Sequence[int | str]


class GraphWriter:
    """Collect the nodes and stored tensors of one graph."""

    def __init__(self, seed: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._stored: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(seed)

    def store(self, value: npt.NDArray[np.generic]) -> str:
        """Store a tensor and return its name."""
        name = f"stored_{len(self._stored)}"
        self._stored.append(numpy_helper.from_array(value, name))
        return name

    def weight(self, *shape: int) -> str:
        """Store random float32 weights."""
        return self.store(self._random.standard_normal(shape).astype(np.float32))

    def op(self, op_type: str, inputs: Sequence[str], outputs: Sequence[str] = (), **attributes: Any) -> str:
        """Add a node and return its first output."""
        outputs = outputs or (f"made_{len(self.nodes)}",)
        self.nodes.append(helper.make_node(op_type, list(inputs), list(outputs), **attributes))
        return outputs[0]

    def save(
        self, path: Path, inputs: Sequence[tuple[str, int, Shape]], outputs: Sequence[tuple[str, int, Shape]]
    ) -> None:
        """Write the model."""
        graph = helper.make_graph(
            self.nodes,
            "graph",
            [helper.make_tensor_value_info(*value) for value in inputs],
            [helper.make_tensor_value_info(*value) for value in outputs],
            self._stored,
        )
        opsets = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))


def write_triplet(folder: Path, *, vocabulary: int = VOCABULARY) -> TripletFiles:
    """Write a whole model of the plainest form."""
    files = TripletFiles(
        encoder=folder / "tiny_encoder.onnx",
        decoder=folder / "tiny_decoder.onnx",
        joint=folder / "tiny_joint.onnx",
        vocabulary=folder / "tiny_vocab.txt",
    )
    write_encoder(files.encoder)
    write_decoder(files.decoder)
    write_joint(files.joint)
    lines = ["<unk> 0", *(f"▁слово{number} {number}" for number in range(1, vocabulary - 1)), f"<blk> {vocabulary - 1}"]
    files.vocabulary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return files


def write_encoder(
    path: Path,
    *,
    batch: int | str = "batch",
    names: Sequence[str] = ("audio_signal", "length", "encoded", "encoded_len"),
    mels: int = 64,
    length_type: int = TensorProto.INT32,
) -> None:
    """Write a convolution of kernel and stride four."""
    graph = GraphWriter(1)
    graph.op("Conv", [names[0], graph.weight(DIM, mels, 4)], [names[2]], strides=[4])
    frames = graph.op("Div", [names[1], graph.store(np.array(4, dtype=np.int64))])
    graph.op("Cast", [frames], [names[3]], to=length_type)
    graph.save(
        path,
        [(names[0], TensorProto.FLOAT, [batch, mels, "time"]), (names[1], TensorProto.INT64, [batch])],
        [(names[2], TensorProto.FLOAT, [batch, DIM, "frames"]), (names[3], length_type, [batch])],
    )


def write_decoder(
    path: Path,
    *,
    batch: int | str = "batch",
    names: Sequence[str] = ("x", "h.1", "c.1", "dec", "h", "c"),
    state: int | str = STATE,
    token_type: int = TensorProto.INT64,
    direction: str = "forward",
    clip: float | None = None,
    scale: float | None = None,
) -> None:
    """Write embedding and LSTM; `clip`, `direction` and `scale` make it a graph that the search does not know."""
    graph = GraphWriter(2)
    x = graph.op("Gather", [graph.weight(VOCABULARY, 3), names[0]])
    x = graph.op("Transpose", [x], perm=[1, 0, 2])
    if scale is not None:
        x = graph.op("Mul", [x, graph.store(np.array(scale, dtype=np.float32))])
    weights = [graph.weight(1, 4 * STATE, 3), graph.weight(1, 4 * STATE, STATE), graph.weight(1, 8 * STATE)]
    attributes: dict[str, Any] = {"hidden_size": STATE, "direction": direction}
    if clip is not None:
        attributes["clip"] = clip
    y = graph.op("LSTM", [x, *weights, "", *names[1:3]], ["y", *names[4:6]], **attributes)
    y = graph.op("Squeeze", [y, graph.store(np.array([1], dtype=np.int64))])
    graph.op("Transpose", [y], [names[3]], perm=[1, 0, 2])
    states = [1, batch, state]
    graph.save(
        path,
        [(names[0], token_type, [batch, 1]), *((name, TensorProto.FLOAT, states) for name in names[1:3])],
        [(names[3], TensorProto.FLOAT, [batch, 1, state]), *((name, TensorProto.FLOAT, states) for name in names[4:6])],
    )


def write_joint(
    path: Path,
    *,
    batch: int | str = "batch",
    names: Sequence[str] = ("enc", "dec", "joint"),
    dim: int = DIM,
    state: int = STATE,
    form: str = "matmul",
    activation: str = "Relu",
    log_softmax: bool = True,
) -> None:
    """Write the joint; its linear layers as `matmul`, `bias_first`, `transposed`, `gemm` or `no_bias`."""
    graph = GraphWriter(3)
    branches = []
    for name, size, axis in ((names[0], dim, 2), (names[1], state, 1)):
        y = graph.op("Transpose", [name], perm=[0, 2, 1])
        y = _linear(graph, y, size, HIDDEN, form)
        branches.append(graph.op("Unsqueeze", [y, graph.store(np.array([axis], dtype=np.int64))]))
    y = graph.op(activation, [graph.op("Add", branches)])
    outputs = [] if log_softmax else [names[2]]
    y = _linear(graph, y, HIDDEN, VOCABULARY, "matmul" if form == "gemm" else form, outputs)
    if log_softmax:
        graph.op("LogSoftmax", [y], [names[2]], axis=-1)
    graph.save(
        path,
        [(names[0], TensorProto.FLOAT, [batch, dim, 1]), (names[1], TensorProto.FLOAT, [batch, state, 1])],
        [(names[2], TensorProto.FLOAT, [batch, 1, 1, VOCABULARY])],
    )


def _linear(graph: GraphWriter, x: str, size: int, out: int, form: str, outputs: Sequence[str] = ()) -> str:
    if form == "gemm":  # of two dimensions: the batch of one is cut off and put back
        axis = graph.store(np.array([0], dtype=np.int64))
        flat = graph.op("Squeeze", [x, axis])
        y = graph.op("Gemm", [flat, graph.weight(out, size), graph.weight(out)], transB=1)
        return graph.op("Unsqueeze", [y, axis])
    if form == "transposed":
        weight = graph.op("Transpose", [graph.weight(out, size)], perm=[1, 0])
    else:
        weight = graph.weight(size, out)
    if form == "no_bias":
        return graph.op("MatMul", [x, weight], outputs)
    y = graph.op("MatMul", [x, weight])
    bias = graph.weight(out)
    return graph.op("Add", [bias, y] if form == "bias_first" else [y, bias], outputs)
