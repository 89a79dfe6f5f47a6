"""Keep a graph in order between passes: constants among the weights, no duplicates, no dead or unsorted nodes."""

from __future__ import annotations

import onnx
from onnx import helper, numpy_helper

from gigastt.optimize.graph import Graph, Links, attribute, matching


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
