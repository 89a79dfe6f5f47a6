"""Write an ONNX graph node by node, in the shapes that torch's exporter leaves behind.

Owns the list of nodes and initialisers of one graph under construction and the seeded generator that fills
the weights. Knows nothing of what the graph computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

_SPLIT_OPSET = 18  # from here on a Split says into how many
_NORM_OPSET = 17  # from here on a layer norm is one operator
_FAINT = 0.01
Array = npt.NDArray[np.float32]


class GraphWriter:
    """One graph under construction; `op` returns the name of the new value."""

    def __init__(self, name: str, seed: int, opset: int = 17) -> None:
        self._name = name
        self._opset = opset
        self._random = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._count = 0
        self.parameters = 0

    def op(self, kind: str, inputs: Sequence[str], outputs: int = 1, scope: str = "", **attributes: Any) -> str:
        """Append one node; returns its first output's name, `outputs` of them are `name`, `name.1`, …"""
        self._count += 1
        name = f"{scope}/{kind}_{self._count}"
        names = [f"{name}_output_{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, name=name, **attributes))
        return names[0]

    def split(self, value: str, axis: int, scope: str) -> list[str]:
        """Cut a value into two equal halves along `axis`."""
        halves = {"num_outputs": 2} if self._opset >= _SPLIT_OPSET else {}
        first = self.op("Split", [value], outputs=2, scope=scope, axis=axis, **halves)
        return [first, first[: -len("_0")] + "_1"]

    def ints(self, *values: int) -> str:
        """A constant int64 vector, as a Constant node (the exporter's habit)."""
        return self._constant(np.asarray(values, np.int64))

    def int_scalar(self, value: int) -> str:
        return self._constant(np.asarray(value, np.int64))

    def floats(self, *values: float) -> str:
        return self._constant(np.asarray(values, np.float32))

    def scalar(self, value: float) -> str:
        return self._constant(np.asarray(value, np.float32))

    def _constant(self, array: npt.NDArray[np.generic]) -> str:
        return self.op("Constant", [], value=numpy_helper.from_array(array))

    def stored(self, array: Array, name: str, *, trained: bool = True) -> str:
        """An initialiser; a trained one counts as parameters, a table (positions) does not."""
        self._initializers.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
        self.parameters += array.size if trained else 0
        return name

    def uniform(self, name: str, shape: tuple[int, ...], fan_in: int, gain: float = 1.0) -> str:
        """A weight drawn uniformly with variance `gain² / fan_in`."""
        bound = gain * math.sqrt(3.0 / fan_in)
        return self.stored(self._random.uniform(-bound, bound, shape).astype(np.float32), name)

    def filters(self, name: str, shape: tuple[int, int, int], gain: float = 1.0) -> str:
        """A convolution's weight whose taps sum to zero, so that a steady spectrum leaves no trace."""
        fan_in = shape[1] * shape[2]
        bound = gain * math.sqrt(3.0 / fan_in)
        weight = self._random.uniform(-bound, bound, shape)
        return self.stored((weight - weight.mean(axis=2, keepdims=True)).astype(np.float32), name)

    def around(self, name: str, size: int, mean: float, spread: float) -> str:
        """A vector of a norm or a bias: normal around `mean`."""
        return self.stored((mean + spread * self._random.standard_normal(size)).astype(np.float32), name)

    def linear(self, value: str, scope: str, fan_in: int, fan_out: int, gain: float = 1.0, faint: int = 0) -> str:
        """MatMul and Add: a linear layer over the last axis. The weight loses its name, as in an export.

        Args:
            faint: how many outputs, the first ones, are next to nothing.
        """
        weight = self.uniform(f"onnx::MatMul_{self._count + 1000}", (fan_in, fan_out), fan_in, gain)
        bias = self.around(f"{scope.removeprefix('/').replace('/', '.')}.bias", fan_out, 0.0, 0.02)
        self.weaken(weight, faint)
        self.weaken(bias, faint)
        return self.op("Add", [bias, self.op("MatMul", [value, weight], scope=scope)], scope=scope)

    def change(self, name: str, function: Callable[[Array], Array]) -> Array:
        """Put what `function` makes of an initialiser's values, a copy, in their place; returns them."""
        stored = next(tensor for tensor in self._initializers if tensor.name == name)
        changed = np.asarray(function(numpy_helper.to_array(stored).copy()), np.float32)
        stored.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(changed), name))
        return changed

    def weaken(self, name: str, outputs: int, axis: int = -1) -> None:
        """Leave a hundredth of an initialiser's first `outputs` along `axis`."""

        def weakened(values: Array) -> Array:
            np.moveaxis(values, axis, 0)[:outputs] *= _FAINT
            return values

        self.change(name, weakened)

    def layer_norm(self, value: str, scope: str, width: int, plain: int = 0) -> str:
        """A layer norm over the last axis, which neither scales nor shifts the first `plain` values of its own."""
        dotted = scope.removeprefix("/").replace("/", ".")
        scale = self.around(f"{dotted}.weight", width, 1.0, 0.05)
        bias = self.around(f"{dotted}.bias", width, 0.0, 0.02)
        if plain:
            is_plain = np.arange(width) < plain
            self.change(scale, lambda values: np.where(is_plain, 1.0, values))
            self.change(bias, lambda values: np.where(is_plain, 0.0, values))
        if self._opset >= _NORM_OPSET:
            return self.op("LayerNormalization", [value, scale, bias], scope=scope, axis=-1, epsilon=1e-5)
        centred = self.op("Sub", [value, self.op("ReduceMean", [value], scope=scope, axes=[-1])], scope=scope)
        squared = self.op("Pow", [centred, self.scalar(2.0)], scope=scope)
        variance = self.op("ReduceMean", [squared], scope=scope, axes=[-1])
        root = self.op("Sqrt", [self.op("Add", [variance, self.scalar(1e-5)], scope=scope)], scope=scope)
        scaled = self.op("Mul", [self.op("Div", [centred, root], scope=scope), scale], scope=scope)
        return self.op("Add", [scaled, bias], scope=scope)

    def silu(self, value: str, scope: str) -> str:
        return self.op("Mul", [value, self.op("Sigmoid", [value], scope=scope)], scope=scope)

    def dimension(self, value: str, axis: int, scope: str) -> str:
        """One dimension of a value's shape, as an int64 scalar."""
        shape = self.op("Shape", [value], scope=scope)
        return self.op("Gather", [shape, self.int_scalar(axis)], scope=scope, axis=0)

    def shape(self, scope: str, *dimensions: str | int) -> str:
        """A shape vector for Reshape, from names of scalars and plain numbers."""
        parts = [
            self.ints(d) if isinstance(d, int) else self.op("Unsqueeze", [d, self.ints(0)], scope=scope)
            for d in dimensions
        ]
        return self.op("Concat", parts, scope=scope, axis=0)

    def rename(self, value: str, name: str) -> None:
        """Give a value the name of a graph output."""
        self.op("Identity", [value])
        self._nodes[-1].output[0] = name

    def model(self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]) -> onnx.ModelProto:
        graph = helper.make_graph(self._nodes, self._name, list(inputs), list(outputs), self._initializers)
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", self._opset)],
            ir_version=8,
            producer_name="gigastt.benchmarks",
        )


def floats(name: str, *shape: str | int) -> onnx.ValueInfoProto:
    """A float32 graph input or output; a string is a dynamic dimension."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def integers(name: str, *shape: str | int, wide: bool = True) -> onnx.ValueInfoProto:
    """An int64 (or, not `wide`, int32) graph input or output."""
    return helper.make_tensor_value_info(name, TensorProto.INT64 if wide else TensorProto.INT32, list(shape))
