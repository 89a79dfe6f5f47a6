"""An ONNX graph that can be taken apart: nodes, weights as arrays, and who makes and who uses each value.

Owns the structure while passes rewrite it, and its order between them. Weights live outside the protobuf, so that a
pass over an 844 MB encoder copies none of them.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterable, Sequence
from copy import copy, deepcopy
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import uses_external_data

from gigastt.errors import ModelInvalid

Weight: TypeAlias = npt.NDArray[Any]
MICROSOFT = "com.microsoft"
_INLINE_BYTES = 4096  # smaller weights stay in the protobuf: shapes are inferred through them


class Graph:
    """One graph under rewriting.

    Passes append to and remove from `nodes`, in any order: `tidy` sorts and drops what is no longer used.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.inputs = list(model.graph.input)
        self.outputs = list(model.graph.output)
        self.nodes = list(model.graph.node)
        self.weights: dict[str, Weight] = {}
        for tensor in model.graph.initializer:
            self.weights[tensor.name] = numpy_helper.to_array(tensor)
            tensor.Clear()  # the protobuf's copy of 844 MB is not needed any more
        self.batch = 2  # rows that a trial may have; 1 if the exporter fixed the batch for good
        self.opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
        self._fresh = itertools.count()
        self._names = {name for node in self.nodes for name in node.output} | set(self.weights)

    @classmethod
    def load(cls, path: Path) -> Graph:
        """Read a model file; raises as `load_model`."""
        return cls(load_model(path))

    def copy(self) -> Graph:
        """Return a copy that shares the weights' arrays (no pass writes into one)."""
        twin = copy(self)
        twin.nodes, twin.weights, twin._names = deepcopy(self.nodes), dict(self.weights), set(self._names)
        return twin

    @property
    def output_names(self) -> list[str]:
        return [value.name for value in self.outputs]

    def scalar(self, name: str) -> float | None:
        """Return the value of a weight of one element, or None."""
        weight = self.weights.get(name)
        return None if weight is None or weight.size != 1 else float(weight.reshape(()))

    def operands(self, node: onnx.NodeProto | None) -> tuple[str | None, str | None]:
        """Return the first input that is a weight and the first that is computed; None if there is none."""
        names = node.input if node is not None else ()
        stored = next((name for name in names if name in self.weights), None)
        return stored, next((name for name in names if name not in self.weights), None)

    def add(
        self, kind: str, inputs: Sequence[str], outputs: int | Sequence[str] = 1, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Append a node; `outputs` is their number, or names to take over from a node that is removed."""
        names = [self._name(kind) for _ in range(outputs)] if isinstance(outputs, int) else list(outputs)
        self.nodes.append(
            helper.make_node(kind, list(inputs), names, name=self._name(f"node_{kind}"), domain=domain, **attributes)
        )
        return names

    def store(self, weight: Weight, hint: str = "weight") -> str:
        """Keep a weight under a fresh name."""
        name = self._name(hint)
        self.weights[name] = weight
        return name

    def ints(self, *values: int) -> str:
        return self.store(np.asarray(values, np.int64), "ints")

    def remove(self, *nodes: onnx.NodeProto) -> None:
        """Take nodes out; the users of their outputs must have been given another input."""
        gone = {id(node) for node in nodes}
        self.nodes = [node for node in self.nodes if id(node) not in gone]

    def redirect(self, renamed: dict[str, str]) -> None:
        """Let every user of a key, graph outputs included, use its value (chains of renames are followed)."""

        def last(name: str) -> str:
            while name in renamed:
                name = renamed[name]
            return name

        for node in self.nodes:
            for position, name in enumerate(node.input):
                if name in renamed:
                    node.input[position] = last(name)
        for name in self.output_names:
            if name in renamed:
                self.add("Identity", [last(name)], [name])

    def _name(self, hint: str) -> str:
        name = next(n for n in (f"opt_{hint}_{i}" for i in self._fresh) if n not in self._names)
        self._names.add(name)
        return name

    def model(self, *, external: bool) -> tuple[onnx.ModelProto, dict[str, Weight]]:
        """Return the graph as a protobuf; `external` leaves the large weights out and returns them beside it."""
        apart = {name: w for name, w in self.weights.items() if external and w.nbytes > _INLINE_BYTES}
        initializers = [
            _reference(name, weight) if name in apart else numpy_helper.from_array(np.asarray(weight, order="C"), name)
            for name, weight in self.weights.items()
        ]
        graph = helper.make_graph(self.nodes, "encoder", self.inputs, self.outputs, initializers)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="gigastt"), apart


class Links:
    """The maker and the users of each value of a graph, as it was when this was made."""

    def __init__(self, graph: Graph) -> None:
        self._makers = {name: node for node in graph.nodes for name in node.output if name}
        self._users: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.nodes:
            for name in dict.fromkeys(node.input):
                self._users.setdefault(name, []).append(node)

    def maker(self, name: str | None, *kinds: str) -> onnx.NodeProto | None:
        """Return the node that makes a value, if it is of one of these kinds (of any, if none is given)."""
        node = self._makers.get(name or "")
        return node if node is not None and (not kinds or node.op_type in kinds) else None

    def users(self, name: str) -> list[onnx.NodeProto]:
        """Return the nodes that use a value."""
        return self._users.get(name, [])

    def only_user(self, name: str, *kinds: str) -> onnx.NodeProto | None:
        """Return the node that uses a value, if there is one only, and of one of these kinds."""
        users = self.users(name)
        return users[0] if len(users) == 1 and (not kinds or users[0].op_type in kinds) else None


def rewrite_each(graph: Graph, kind: str, rewrite: Callable[[Graph, Links, onnx.NodeProto], bool]) -> int:
    """Offer every node of one operator to `rewrite`, which tells whether it found its pattern; return how often."""
    links, count = Links(graph), 0
    for node in matching(graph.nodes, kind):
        if rewrite(graph, links, node):
            count += 1
    return count


def tidy(graph: Graph) -> None:
    """Fold constants into the weights, merge equal nodes, drop unused ones and sort the rest."""
    constants = [n for n in matching(graph.nodes, "Constant") if attribute(n, "value") is not None]
    graph.remove(*constants)
    for node in constants:
        graph.weights[node.output[0]] = numpy_helper.to_array(attribute(node, "value"))
    outputs = set(graph.output_names)
    identities = [n for n in matching(graph.nodes, "Identity") if n.output[0] not in outputs]
    graph.remove(*identities)
    graph.redirect({node.output[0]: node.input[0] for node in identities})
    _drop_unused(graph)
    _sort(graph)
    while _merge_equal(graph):
        _drop_unused(graph)


def _drop_unused(graph: Graph) -> None:
    links, needed, pending = Links(graph), set[str](), list(graph.output_names)
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            pending.extend(node.input if (node := links.maker(name)) is not None else ())
    graph.nodes = [node for node in graph.nodes if needed.intersection(node.output)]
    graph.weights = {name: weight for name, weight in graph.weights.items() if name in needed}


def _sort(graph: Graph) -> None:
    """Order nodes so that each comes behind what it uses, and otherwise as they were."""
    links, placed, ordered = Links(graph), set[int](), list[onnx.NodeProto]()
    for start in graph.nodes:
        stack = [(start, False)]
        while stack:
            node, ready = stack.pop()
            if ready:
                ordered.append(node)
            elif id(node) not in placed:
                placed.add(id(node))
                stack.append((node, True))
                makers = (links.maker(name) for name in reversed(node.input))
                stack.extend((maker, False) for maker in makers if maker is not None)
    graph.nodes = ordered


def _merge_equal(graph: Graph) -> bool:
    """Let equal nodes (operator, attributes, inputs) share one result; small equal weights too."""
    renamed: dict[str, str] = {}
    first: dict[tuple[object, ...], str] = {}
    for name, weight in graph.weights.items():
        if weight.nbytes <= 64:
            twin_name = first.setdefault((weight.dtype.str, weight.shape, weight.tobytes()), name)
            if twin_name != name:
                renamed[name] = twin_name
    seen: dict[tuple[object, ...], onnx.NodeProto] = {}
    duplicates: list[onnx.NodeProto] = []
    outputs = set(graph.output_names)
    for node in graph.nodes:
        attributes = tuple(sorted((a.name, str(helper.get_attribute_value(a))) for a in node.attribute))
        inputs = tuple(renamed.get(name, name) for name in node.input)
        twin = seen.setdefault((node.domain, node.op_type, attributes, inputs, len(node.output)), node)
        if twin is not node and not outputs.intersection(node.output):
            duplicates.append(node)
            renamed.update(zip(node.output, twin.output, strict=True))
    graph.remove(*duplicates)
    graph.redirect(renamed)
    return bool(renamed)


def load_model(path: Path) -> onnx.ModelProto:
    """Read a model file, weights in other files included.

    Raises:
        ModelInvalid: it is not there, no ONNX file, or a file that it names is not beside it.
    """
    try:
        return onnx.load(path)
    except onnx.checker.ValidationError as exc:
        message = f"{path.name} keeps its weights in another file, which must be a plain file beside it."
        raise ModelInvalid(message) from exc
    except (OSError, ValueError, RuntimeError, DecodeError) as exc:
        raise ModelInvalid(f"{path.name} is not a readable ONNX model.") from exc


def copy_model(source: Path, target: Path) -> None:
    """Copy a model file; weights in another file come along inside it. Raises as `load_model`."""
    try:
        stored = onnx.load(source, load_external_data=False).graph.initializer
    except DecodeError:  # found out, and said, when the copy is loaded
        stored = []
    if any(map(uses_external_data, stored)):
        onnx.save(load_model(source), target)
    else:
        shutil.copyfile(source, target)


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Return one attribute's value."""
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def matching(nodes: Iterable[onnx.NodeProto], kind: str) -> list[onnx.NodeProto]:
    """Return the nodes of one operator, as a list that survives changes to the graph."""
    return [node for node in nodes if node.op_type == kind]


def _reference(name: str, weight: Weight) -> onnx.TensorProto:
    """Return a tensor whose content is handed to onnxruntime beside the model."""
    tensor = TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(weight.dtype), dims=weight.shape)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights")
    tensor.external_data.add(key="offset", value="0")
    tensor.external_data.add(key="length", value=str(weight.nbytes))
    return tensor
