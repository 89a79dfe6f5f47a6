"""Passes that leave work out: constants, masks that mask nothing, factors, and layer norms spelled out."""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx

from gigastt.optimize.graph import Graph, Links, matching, rewrite_each
from gigastt.optimize.observe import SAME, Values, look_inside, relative_difference
from gigastt.speech.model import Floats

NORM_OPSET = 17  # the first with LayerNormalization; no older operator that an encoder uses changed its meaning
_JOINS = ("Where", "Mul", "Add")
_LOOKS = ((2, 85), (1, 61), (2, 133))  # rows and feature frames; sizes of an encoder are none of these
_MOST_ELEMENTS = 1 << 20


def fold_constants(graph: Graph) -> int:
    """Keep values that do not depend on the input as weights: scales and sizes that an exporter computes from shapes.

    A value counts as constant if it depends on nothing in the input but its shape, and is the same for inputs of
    different rows and lengths.
    """
    looks = [look_inside(graph, *look) for look in _LOOKS]
    content = set[str]().union(*(downstream(graph, value.name, through_shapes=False) for value in graph.inputs))
    outputs, folded = set(graph.output_names), set[str]()
    for node in graph.nodes:
        name = node.output[0]
        if len(node.output) != 1 or name in content or name in outputs or looks[0][name].size > _MOST_ELEMENTS:
            continue
        if all(np.array_equal(looks[0][name], look[name]) for look in looks[1:]):
            folded.add(name)
    graph.nodes = [node for node in graph.nodes if node.output[0] not in folded]
    graph.weights |= {name: looks[0][name] for name in folded}
    return len(folded)


def join_norms(graph: Graph) -> int:
    """Replace mean, variance and affine step, as exporters write them below opset 17, by one LayerNormalization."""
    count = rewrite_each(graph, "Add", partial(_join_norm, look_inside(graph)))
    if count:
        graph.opset = max(graph.opset, NORM_OPSET)
    return count


def _join_norm(values: Values, graph: Graph, links: Links, node: onnx.NodeProto) -> bool:
    """Match Sub → Div (by the root of the variance and epsilon) → Mul by the scale → Add of the bias."""
    bias, product = graph.operands(node)
    scale, quotient = graph.operands(links.maker(product, "Mul"))
    ratio = links.maker(quotient, "Div")
    if bias is None or scale is None or ratio is None or graph.weights[scale].ndim != 1:
        return False
    centred, root = links.maker(ratio.input[0], "Sub"), links.maker(ratio.input[1], "Sqrt")
    widened = links.maker(root.input[0], "Add") if root is not None else None
    epsilons = [e for e in map(graph.scalar, widened.input) if e is not None] if widened is not None else []
    if centred is None or not epsilons:
        return False
    source = centred.input[0]
    expected = _normalise(values[source], graph.weights[scale], graph.weights[bias], epsilons[0])
    if relative_difference(values[node.output[0]], expected) > SAME:
        return False
    graph.remove(node)
    graph.add("LayerNormalization", [source, scale, bias], [node.output[0]], axis=-1, epsilon=epsilons[0])
    return True


def _normalise(source: Floats, scale: Floats, bias: Floats, epsilon: float) -> Floats:
    deviation = source - source.mean(axis=-1, keepdims=True)
    variance = np.square(deviation).mean(axis=-1, keepdims=True)
    normalised: Floats = deviation / np.sqrt(variance + epsilon) * scale + bias
    return normalised


def drop_masks(graph: Graph) -> int:
    """Take out every mask made from `length`: with rows of one length it changes nothing.

    A mask is recognised by its effect, not by its operators: a node joins audio with something that depends on
    `length` alone, and its output equals its audio input. The graph is then wrong for padded rows. A guard that
    replaces NaN goes as well: only a row that is masked whole has any.
    """
    values, links = look_inside(graph), Links(graph)
    audio = downstream(graph, graph.inputs[0].name, through_shapes=False)
    length = downstream(graph, graph.inputs[1].name, through_shapes=True)
    renamed: dict[str, str] = {}
    for node in graph.nodes:
        if node.op_type not in _JOINS:
            continue
        guards = node.op_type == "Where" and links.maker(node.input[0], "IsNaN") is not None
        masks = any(name in length and name not in audio for name in node.input)
        output = values[node.output[0]]
        if not (guards or masks) or output.dtype != np.float32:
            continue
        same = next((n for n in node.input if n in audio and np.array_equal(values[n], output)), None)
        if same is not None:
            renamed[node.output[0]] = same
    graph.nodes = [node for node in graph.nodes if node.output[0] not in renamed]
    graph.redirect(renamed)
    return len(renamed)


def downstream(graph: Graph, start: str, *, through_shapes: bool) -> set[str]:
    """Return every value that depends on `start`; not `through_shapes`: on its content, not only its shape."""
    reached = {start}
    for node in graph.nodes:
        if (through_shapes or node.op_type != "Shape") and reached.intersection(node.input):
            reached.update(node.output)
    return reached


def fold_factors(graph: Graph) -> int:
    """Multiply the factor of a residual half-step into the linear layer before it."""
    return rewrite_each(graph, "Mul", _fold_factor)


def _fold_factor(graph: Graph, links: Links, node: onnx.NodeProto) -> bool:
    """Match MatMul by a weight → Add of a bias → Mul by a scalar, without other users in between."""
    factor = next((f for f in map(graph.scalar, node.input) if f is not None), None)
    _, total = graph.operands(node)
    add = links.maker(total, "Add")
    bias, product = graph.operands(add)
    matmul = links.maker(product, "MatMul")
    if factor is None or add is None or bias is None or matmul is None or matmul.input[1] not in graph.weights:
        return False
    if links.only_user(add.output[0]) is None or links.only_user(matmul.output[0]) is None:
        return False
    matmul.input[1] = graph.store((graph.weights[matmul.input[1]] * np.float32(factor)).astype(np.float32))
    scaled = graph.store((graph.weights[bias] * np.float32(factor)).astype(np.float32), "bias")
    graph.remove(node, add)
    graph.add("Add", [matmul.output[0], scaled], [node.output[0]])
    return True


def keep_sums(graph: Graph) -> int:
    """Write the sum before a layer norm as `Sum`, so that onnxruntime does not fuse the two.

    Its fused SkipLayerNormalization works in one scalar loop on a CPU: measured 0.48 ms for 125 × 768 values,
    against 0.06 ms for Sum and LayerNormalization apart.
    """
    links = Links(graph)
    found = [
        node
        for node in matching(graph.nodes, "Add")
        if graph.operands(node)[0] is None and matching(links.users(node.output[0]), "LayerNormalization")
    ]
    for node in found:
        node.op_type = "Sum"
    return len(found)
