"""Passes over the layout of the convolution module: kernel-1 Convs as MatMul, fewer Transposes, one fast Conv."""

from __future__ import annotations

import numpy as np
import onnx

from gigastt.optimize.graph import Graph, attribute, matching
from gigastt.optimize.observe import look_inside
from gigastt.optimize.tidy import tidy

_SWAP = [0, 2, 1]
_ELEMENTWISE = ("Sigmoid", "Relu", "Tanh", "Neg", "Mul", "Add", "Sub", "Div", "Sum")
_MOVES = ("Reshape", "Transpose", "Squeeze", "Unsqueeze")
_VECTOR = 16  # channels that onnxruntime's blocked convolution takes at once with AVX-512


def pointwise_convolutions(graph: Graph) -> int:
    """Rewrite a Conv of kernel 1 as Transpose, MatMul, Add, Transpose: a matrix product can be quantised well."""
    count = 0
    for node in matching(graph.nodes, "Conv"):
        weight = graph.weights.get(node.input[1])
        if weight is None or weight.ndim != 3 or weight.shape[2] != 1 or not _is_plain(node):
            continue
        graph.remove(node)
        swapped = graph.add("Transpose", [node.input[0]], perm=_SWAP)
        value = graph.add("MatMul", [*swapped, graph.store(np.ascontiguousarray(weight[:, :, 0].T))])
        if len(node.input) > 2:
            value = graph.add("Add", [*value, node.input[2]])
        graph.add("Transpose", value, [node.output[0]], perm=_SWAP)
        count += 1
    return count


def _is_plain(node: onnx.NodeProto) -> bool:
    return (
        attribute(node, "group", 1) == 1
        and all(stride == 1 for stride in attribute(node, "strides", []))
        and all(pad == 0 for pad in attribute(node, "pads", []))
        and attribute(node, "auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
    )


def sink_transposes(graph: Graph) -> int:
    """Move Transposes behind element-wise operators and Splits until pairs of them cancel."""
    before = len(matching(graph.nodes, "Transpose"))
    while _cancel(graph) or _sink(graph):
        tidy(graph)
    return max(0, before - len(matching(graph.nodes, "Transpose")))


def _cancel(graph: Graph) -> bool:
    """Let a Transpose of a Transpose that restores the order use the origin."""
    producers, renamed = graph.producers(), dict[str, str]()
    for node in matching(graph.nodes, "Transpose"):
        source = producers.get(node.input[0])
        if source is not None and source.op_type == "Transpose":
            inner, outer = list(attribute(source, "perm")), list(attribute(node, "perm"))
            if [inner[axis] for axis in outer] == list(range(len(inner))):
                renamed[node.output[0]] = source.input[0]
    graph.redirect(renamed)
    graph.nodes = [node for node in graph.nodes if not (node.op_type == "Transpose" and node.output[0] in renamed)]
    return bool(renamed)


def _sink(graph: Graph) -> bool:
    """Move one round of Transposes from the inputs of operators to their outputs."""
    producers, users, moved = graph.producers(), graph.consumers(), False
    for node in list(graph.nodes):
        if node.op_type not in (*_ELEMENTWISE, "Split"):
            continue
        sources = [producers.get(name) for name in node.input]
        turned = [s for s in sources if s is not None and s.op_type == "Transpose"]
        others = [n for n, s in zip(node.input, sources, strict=True) if s is None or s.op_type != "Transpose"]
        perms = {tuple(attribute(s, "perm")) for s in turned}
        if len(perms) != 1 or not (len({s.output[0] for s in turned}) > 1 or _worthwhile(node, users)):
            continue
        if node.op_type != "Split" and any(graph.scalar(name) is None for name in others):
            continue
        perm = list(perms.pop())
        graph.remove(node)
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Split":
            attributes["axis"] = perm[attributes.get("axis", 0)]
        inputs = [s.input[0] if s is not None and s in turned else n for n, s in zip(node.input, sources, strict=True)]
        results = graph.add(node.op_type, inputs, len(node.output), **attributes)
        for result, name in zip(results, node.output, strict=True):
            graph.add("Transpose", [result], [name], perm=perm)
        producers, moved = graph.producers(), True
    return moved


def _worthwhile(node: onnx.NodeProto, users: dict[str, list[onnx.NodeProto]]) -> bool:
    """Whether a Transpose behind this node can meet another: some user is one, or can let it pass on."""
    passing = (*_ELEMENTWISE, "Split", "Transpose")
    return any(user.op_type in passing for name in node.output for user in users.get(name, ()))


def cut_round_trips(graph: Graph) -> int:
    """Leave out chains of Reshape and Transpose that give back what they were given."""
    values, producers, renamed = look_inside(graph), graph.producers(), dict[str, str]()
    for node in graph.nodes:
        if node.op_type not in _MOVES:
            continue
        above: onnx.NodeProto | None = node
        output = values[node.output[0]]
        while above is not None and above.op_type in _MOVES:
            origin = above.input[0]
            if origin in values and origin not in graph.weights and np.array_equal(values[origin], output):
                renamed[node.output[0]] = origin
            above = producers.get(origin)
    graph.nodes = [node for node in graph.nodes if node.output[0] not in renamed]
    graph.redirect(renamed)
    return len(renamed)


def depthwise_convolutions(graph: Graph) -> int:
    """Write a depthwise Conv between two Transposes as a two-dimensional one.

    onnxruntime has a blocked, channels-last kernel for that, and a slow general one for the other.
    """
    count = 0
    producers, users = graph.producers(), graph.consumers()
    for node in matching(graph.nodes, "Conv"):
        weight = graph.weights.get(node.input[1])
        before, after = producers.get(node.input[0]), users.get(node.output[0], [])
        if weight is None or weight.ndim != 3 or weight.shape[1] != 1 or weight.shape[0] % _VECTOR:
            continue
        if attribute(node, "group", 1) != weight.shape[0] or any(s != 1 for s in attribute(node, "strides", [])):
            continue
        if before is None or not _is_swap(before) or len(after) != 1 or not _is_swap(after[0]):
            continue
        left, right = attribute(node, "pads", [0, 0])
        graph.remove(node, after[0])
        axis = graph.ints(1)
        value = graph.add("Unsqueeze", [before.input[0], axis])  # [batch, 1, time, channels]
        value = graph.add("Transpose", value, perm=[0, 3, 1, 2])
        value = graph.add(
            "Conv",
            [*value, graph.store(np.ascontiguousarray(weight[:, :, None, :])), *node.input[2:]],
            group=weight.shape[0],
            kernel_shape=[1, weight.shape[2]],
            pads=[0, left, 0, right],
            dilations=[1, *attribute(node, "dilations", [1])],
            strides=[1, 1],
        )
        graph.add("Squeeze", [*graph.add("Transpose", value, perm=[0, 2, 3, 1]), axis], [after[0].output[0]])
        count += 1
    return count


def _is_swap(node: onnx.NodeProto) -> bool:
    return node.op_type == "Transpose" and list(attribute(node, "perm", [])) == _SWAP
