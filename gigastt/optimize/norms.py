"""The pass that recognises a layer norm spelled out, as exporters write it below opset 17."""

from __future__ import annotations

import numpy as np
import onnx

from gigastt.optimize.graph import Graph, matching
from gigastt.optimize.observe import Floats, Values, look_inside, relative_difference

OPSET = 17  # the first with LayerNormalization; of the operators before it none that an encoder uses changed meaning
_SAME = 1e-4


def join_norms(graph: Graph) -> int:
    """Replace the mean, the variance and the affine step by one LayerNormalization."""
    values, producers = look_inside(graph), graph.producers()
    count = 0
    for node in matching(graph.nodes, "Add"):
        found = _match_norm(node, graph, values, producers)
        if found is None:
            continue
        source, scale, bias, epsilon = found
        graph.remove(node)
        graph.add("LayerNormalization", [source, scale, bias], [node.output[0]], axis=-1, epsilon=epsilon)
        count += 1
    if count:
        graph.opset = max(graph.opset, OPSET)
    return count


def _match_norm(
    node: onnx.NodeProto, graph: Graph, values: Values, producers: dict[str, onnx.NodeProto]
) -> tuple[str, str, str, float] | None:
    """Return source, scale, bias and epsilon of the layer norm that ends in this Add."""
    bias = next((name for name in node.input if name in graph.weights), None)
    scaled = next((producers[name] for name in node.input if name in producers), None)
    if bias is None or scaled is None or scaled.op_type != "Mul":
        return None
    scale = next((name for name in scaled.input if name in graph.weights), None)
    ratio = next((producers[name] for name in scaled.input if name in producers), None)
    if scale is None or ratio is None or ratio.op_type != "Div" or graph.weights[scale].ndim != 1:
        return None
    centred, root = (producers.get(name) for name in ratio.input)
    widened = producers.get(root.input[0]) if root is not None and root.op_type == "Sqrt" else None
    if centred is None or centred.op_type != "Sub" or widened is None or widened.op_type != "Add":
        return None
    epsilon = next((e for e in map(graph.scalar, widened.input) if e is not None), None)
    source = centred.input[0]
    if epsilon is None:
        return None
    expected = _normalise(values[source], graph.weights[scale], graph.weights[bias], epsilon)
    same = relative_difference(values[node.output[0]], expected) <= _SAME
    return (source, scale, bias, epsilon) if same else None


def _normalise(source: Floats, scale: Floats, bias: Floats, epsilon: float) -> Floats:
    deviation = source - source.mean(axis=-1, keepdims=True)
    variance = np.square(deviation).mean(axis=-1, keepdims=True)
    normalised: Floats = deviation / np.sqrt(variance + epsilon) * scale + bias
    return normalised
