"""The ceiling of a machine: an optimised encoder's 8-bit matrix products and nothing else.

Owns a graph with the shapes of every product in the encoder, in their order and with weights of their own each, so
that memory and caches are used as in the encoder. Each product takes the result of the one before it, cut to its
width, or repeated. Values mean nothing: random weights of unit gain, so that nothing grows or dies away on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.pinned import session_options
from gigastt.optimize.graph import MICROSOFT, Graph
from gigastt.optimize.quantise import weight_limit
from gigastt.speech.tokens import SUBSAMPLING

_PRODUCTS = ("DynamicQuantizeMatMul", "MatMulIntegerToFloat")


class Shape(NamedTuple):
    """Of a weight matrix."""

    inputs: int
    outputs: int


class Products:
    """The products of one encoder, ready to run."""

    def __init__(self, encoder: Path) -> None:
        graph = Graph.load(encoder)
        self.shapes = [Shape(*graph.weights[node.input[1]].shape) for node in graph.nodes if node.op_type in _PRODUCTS]
        del graph
        model = make_products(self.shapes).SerializeToString()
        self._session = onnxruntime.InferenceSession(model, session_options(), providers=["CPUExecutionProvider"])

    def run(self, features: npt.NDArray[np.float32]) -> None:
        """Multiply what an encoder multiplies for float32 [1, mel, frames]."""
        frames = -(-features.shape[2] // SUBSAMPLING)
        self._session.run(None, {"x": np.ones((1, frames, self.shapes[0].inputs), np.float32)})

    @property
    def per_frame(self) -> int:
        """Multiplications for one encoder frame of 40 ms."""
        return sum(shape.inputs * shape.outputs for shape in self.shapes)


def make_products(shapes: Sequence[Shape], seed: int = 0) -> onnx.ModelProto:
    """Chain products of these shapes from `x` [1, frames, width] to `y`."""
    random, limit = np.random.default_rng(seed), weight_limit()
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = [numpy_helper.from_array(np.array([n], np.int64), f"at_{n}") for n in (0, 2)]
    value, width = "x", shapes[0].inputs
    for number, (inputs, outputs) in enumerate(shapes):
        if width < inputs:
            repeated = [value] * -(-inputs // width)
            nodes.append(helper.make_node("Concat", repeated, [f"repeated_{number}"], axis=2))
            value, width = f"repeated_{number}", width * len(repeated)
        if inputs < width:
            end = numpy_helper.from_array(np.array([inputs], np.int64), f"end_{number}")
            weights.append(end)
            nodes.append(helper.make_node("Slice", [value, "at_0", end.name, "at_2"], [f"cut_{number}"]))
            value = f"cut_{number}"
        integers = random.integers(-limit, limit, (inputs, outputs), np.int8, endpoint=True)
        scales = np.full(outputs, 1.0 / (np.sqrt(inputs / 3) * limit), np.float32)
        weights += [
            numpy_helper.from_array(integers, f"weight_{number}"),
            numpy_helper.from_array(scales, f"scales_{number}"),
            numpy_helper.from_array(random.normal(size=outputs).astype(np.float32), f"bias_{number}"),
        ]
        arguments = [value, f"weight_{number}", f"scales_{number}", "", f"bias_{number}"]
        value, width = "y" if number == len(shapes) - 1 else f"product_{number}", outputs
        nodes.append(helper.make_node("DynamicQuantizeMatMul", arguments, [value], domain=MICROSOFT))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "frames", size])
        for name, size in (("x", shapes[0].inputs), ("y", shapes[-1].outputs))
    ]
    graph = helper.make_graph(nodes, "products", ends[:1], ends[1:], weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)
