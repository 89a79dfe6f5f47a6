"""Passes over the layout of the convolution module: kernel-1 Convs as MatMul, fewer Transposes, one fast Conv."""

from __future__ import annotations

import numpy as np
import onnx

from gigastt.optimize.graph import Graph, Links, attribute, matching, rewrite_each, tidy
from gigastt.optimize.observe import look_inside

_SWAP = [0, 2, 1]
# Operators from whose inputs a Transpose may move to their outputs.
_PASSING = ("Sigmoid", "Relu", "Tanh", "Neg", "Mul", "Add", "Sub", "Div", "Sum", "Split")
_MOVES = ("Reshape", "Transpose", "Squeeze", "Unsqueeze")
_VECTOR = 16  # channels that onnxruntime's blocked convolution takes at once with AVX-512


def pointwise_convolutions(graph: Graph) -> int:
    """Rewrite a Conv of kernel 1 as Transpose, MatMul, Add, Transpose: a matrix product can be quantised well."""
    return rewrite_each(graph, "Conv", _rewrite_pointwise)


def _rewrite_pointwise(graph: Graph, links: Links, node: onnx.NodeProto) -> bool:
    weight = graph.weights.get(node.input[1])
    is_plain = (
        attribute(node, "group", 1) == 1
        and all(stride == 1 for stride in attribute(node, "strides", []))
        and all(pad == 0 for pad in attribute(node, "pads", []))
        and attribute(node, "auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
    )
    if weight is None or weight.ndim != 3 or weight.shape[2] != 1 or not is_plain:
        return False
    graph.remove(node)
    swapped = graph.add("Transpose", [node.input[0]], perm=_SWAP)
    value = graph.add("MatMul", [*swapped, graph.store(np.ascontiguousarray(weight[:, :, 0].T))])
    if len(node.input) > 2:
        value = graph.add("Add", [*value, node.input[2]])
    graph.add("Transpose", value, [node.output[0]], perm=_SWAP)
    return True


def sink_transposes(graph: Graph) -> int:
    """Move Transposes behind element-wise operators and Splits until pairs of them cancel."""
    before = len(matching(graph.nodes, "Transpose"))
    while _cancel(graph) or _sink(graph):
        tidy(graph)
    return max(0, before - len(matching(graph.nodes, "Transpose")))


def _cancel(graph: Graph) -> bool:
    """Let a Transpose of a Transpose that restores the order use the origin."""
    links, renamed = Links(graph), dict[str, str]()
    for node in matching(graph.nodes, "Transpose"):
        source = links.maker(node.input[0], "Transpose")
        if source is not None:
            inner, outer = list(attribute(source, "perm")), list(attribute(node, "perm"))
            if [inner[axis] for axis in outer] == list(range(len(inner))):
                renamed[node.output[0]] = source.input[0]
    graph.redirect(renamed)
    graph.nodes = [node for node in graph.nodes if not (node.op_type == "Transpose" and node.output[0] in renamed)]
    return bool(renamed)


def _sink(graph: Graph) -> bool:
    """Move one round of Transposes from the inputs of operators to their outputs."""
    before = links = Links(graph)
    for node in list(graph.nodes):
        if node.op_type not in _PASSING:
            continue
        sources = [links.maker(name, "Transpose") for name in node.input]
        perms = {tuple(attribute(source, "perm")) for source in sources if source is not None}
        several = len({source.output[0] for source in sources if source is not None}) > 1
        if len(perms) != 1 or not (several or _worthwhile(node, before)):
            continue
        pairs = list(zip(node.input, sources, strict=True))
        if node.op_type != "Split" and any(graph.scalar(name) is None for name, source in pairs if source is None):
            continue
        perm = list(perms.pop())
        graph.remove(node)
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Split":
            attributes["axis"] = perm[attributes.get("axis", 0)]
        inputs = [name if source is None else source.input[0] for name, source in pairs]
        results = graph.add(node.op_type, inputs, len(node.output), **attributes)
        for result, name in zip(results, node.output, strict=True):
            graph.add("Transpose", [result], [name], perm=perm)
        links = Links(graph)
    return links is not before


def _worthwhile(node: onnx.NodeProto, links: Links) -> bool:
    """Tell whether a Transpose behind this node can meet another: some user is one, or can let it pass on."""
    return any(user.op_type in (*_PASSING, "Transpose") for name in node.output for user in links.users(name))


def cut_round_trips(graph: Graph) -> int:
    """Leave out chains of Reshape and Transpose whose output equals their input."""
    values, links, renamed = look_inside(graph), Links(graph), dict[str, str]()
    for node in graph.nodes:
        above = node if node.op_type in _MOVES else None
        while above is not None:
            origin = above.input[0]
            if origin not in graph.weights and np.array_equal(values[origin], values[node.output[0]]):
                renamed[node.output[0]] = origin
            above = links.maker(origin, *_MOVES)
    graph.nodes = [node for node in graph.nodes if node.output[0] not in renamed]
    graph.redirect(renamed)
    return len(renamed)


def depthwise_convolutions(graph: Graph) -> int:
    """Write a depthwise Conv between two Transposes as a two-dimensional one.

    onnxruntime has a blocked, channels-last kernel for that, and a slow general one for the other.
    """
    return rewrite_each(graph, "Conv", _rewrite_depthwise)


def _rewrite_depthwise(graph: Graph, links: Links, node: onnx.NodeProto) -> bool:
    weight = graph.weights.get(node.input[1])
    before, after = links.maker(node.input[0], "Transpose"), links.only_user(node.output[0], "Transpose")
    if weight is None or weight.ndim != 3 or weight.shape[1] != 1 or weight.shape[0] % _VECTOR:
        return False
    if attribute(node, "group", 1) != weight.shape[0] or any(s != 1 for s in attribute(node, "strides", [])):
        return False
    if before is None or after is None or any(list(attribute(turn, "perm", [])) != _SWAP for turn in (before, after)):
        return False
    left, right = attribute(node, "pads", [0, 0])
    graph.remove(node, after)
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
    graph.add("Squeeze", [*graph.add("Transpose", value, perm=[0, 2, 3, 1]), axis], [after.output[0]])
    return True
