"""Passes that recognise spelled-out attention: rotary positions before the projections, and the heads.

Patterns are matched on operators and on the shapes seen in a trial run, so that it does not matter how an
exporter computes a shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from gigastt.models.optimize.graph import MICROSOFT, Graph, attribute, matching
from gigastt.models.optimize.observe import Values, look_inside


def rotary_positions(graph: Graph) -> int:
    """Replace `x·cos + (−high, low)·sin` over heads in [time, batch, head, dim] by one RotaryEmbedding."""
    values, producers, users = look_inside(graph), graph.producers(), graph.consumers()
    count = 0
    for node in matching(graph.nodes, "Add"):
        found = _match_rotary(node, producers)
        if found is None:
            continue
        source, end = _chain_up(found.value, producers), _chain_down(node.output[0], users)
        if source is None or end is None:
            continue
        time, batch, heads, head = values[found.value].shape
        flat = (batch, time, heads * head)
        if values[source].shape != flat or values[end.output[0]].shape != flat:
            continue
        if values[found.cos].size != time * head or values[found.sin].size != time * head:
            continue
        rows, low, high, last = graph.ints(-1, head), graph.ints(0), graph.ints(head // 2), graph.ints(1)
        tables = [
            graph.add("Slice", [*graph.add("Reshape", [table, rows]), low, high, last])[0]
            for table in (found.cos, found.sin)
        ]
        graph.remove(end)
        graph.add(
            "RotaryEmbedding",
            [source, graph.ints(0), *tables],
            [end.output[0]],
            domain=MICROSOFT,
            num_heads=heads,
            interleaved=0,
        )
        count += 1
    return count


@dataclass(frozen=True, slots=True)
class _Rotary:
    value: str
    cos: str
    sin: str


def _match_rotary(node: onnx.NodeProto, producers: dict[str, onnx.NodeProto]) -> _Rotary | None:
    products = [producers.get(name) for name in node.input]
    for straight, crossed in (products, products[::-1]):
        if straight is None or crossed is None or straight.op_type != "Mul" or crossed.op_type != "Mul":
            continue
        for turned, sin in (crossed.input, crossed.input[::-1]):
            join = producers.get(turned)
            if join is None or join.op_type != "Concat" or len(join.input) != 2:
                continue
            negated, low = producers.get(join.input[0]), producers.get(join.input[1])
            if negated is None or negated.op_type != "Neg" or low is None or low.op_type != "Slice":
                continue
            value = low.input[0]
            if value in straight.input:
                cos = next(name for name in straight.input if name != value)
                return _Rotary(value, cos, sin)
    return None


def _chain_up(name: str, producers: dict[str, onnx.NodeProto]) -> str | None:
    """Through Reshape and the Transpose of batch and time, up to [batch, time, width]."""
    reshape = producers.get(name)
    turn = producers.get(reshape.input[0]) if reshape is not None and reshape.op_type == "Reshape" else None
    return turn.input[0] if turn is not None and _has_perm(turn, [1, 0, 2]) else None


def _chain_down(name: str, users: dict[str, list[onnx.NodeProto]]) -> onnx.NodeProto | None:
    """Through Reshape, down to the Transpose that gives [batch, time, width]."""
    reshape = users.get(name, [])
    if len(reshape) != 1 or reshape[0].op_type != "Reshape":
        return None
    turn = users.get(reshape[0].output[0], [])
    return turn[0] if len(turn) == 1 and _has_perm(turn[0], [1, 0, 2]) else None


def _has_perm(node: onnx.NodeProto, perm: list[int]) -> bool:
    return node.op_type == "Transpose" and list(attribute(node, "perm", [])) == perm


def fuse_attention(graph: Graph) -> int:
    """Replace scores, softmax and the weighted sum by one MultiHeadAttention."""
    values, producers, users = look_inside(graph), graph.producers(), graph.consumers()
    count = 0
    for softmax in matching(graph.nodes, "Softmax"):
        end = _attention_end(softmax, users)
        if end is None or attribute(softmax, "axis", -1) not in (-1, 3):
            continue
        weighted, reshape = end
        scores = _trace(softmax.input[0], graph, producers)
        product = producers.get(scores.base)
        if product is None or product.op_type != "MatMul" or scores.perm is not None:
            continue
        q, k = (_trace(name, graph, producers) for name in product.input)
        v = _trace(weighted.input[1], graph, producers)
        if (q.perm, k.perm, v.perm) != ((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3)) or v.factor != 1.0:
            continue
        flats = [_unsplit(traced.base, values, producers) for traced in (q, k, v)]
        if None in flats or values[reshape.output[0]].ndim != 3:
            continue
        graph.remove(reshape)
        graph.add(
            "MultiHeadAttention",
            [name for name in flats if name is not None],
            [reshape.output[0]],
            domain=MICROSOFT,
            num_heads=values[q.base].shape[2],
            scale=scores.factor * q.factor * k.factor,
        )
        count += 1
    return count


@dataclass(frozen=True, slots=True)
class _Traced:
    """A value followed upwards through scalar factors and Transposes."""

    base: str
    perm: tuple[int, ...] | None
    factor: float


def _trace(name: str, graph: Graph, producers: dict[str, onnx.NodeProto]) -> _Traced:
    perm: list[int] | None = None
    factor = 1.0
    while (node := producers.get(name)) is not None:
        if node.op_type == "Transpose":
            inner = list(attribute(node, "perm"))
            perm = inner if perm is None else [inner[axis] for axis in perm]
            name = node.input[0]
            continue
        scalars = [graph.scalar(other) for other in node.input]
        if node.op_type == "Div" and scalars[1] is not None:
            factor, name = factor / scalars[1], node.input[0]
        elif node.op_type == "Mul" and (scalars[0] is not None or scalars[1] is not None):
            at = 0 if scalars[0] is None else 1
            factor, name = factor * (scalars[1 - at] or 0.0), node.input[at]
        else:
            break
    return _Traced(name, None if perm is None else tuple(perm), factor)


def _attention_end(
    softmax: onnx.NodeProto, users: dict[str, list[onnx.NodeProto]]
) -> tuple[onnx.NodeProto, onnx.NodeProto] | None:
    """The weighted sum and the Reshape that joins the heads again."""
    weighted = users.get(softmax.output[0], [])
    if len(weighted) != 1 or weighted[0].op_type != "MatMul" or weighted[0].input[0] != softmax.output[0]:
        return None
    turn = users.get(weighted[0].output[0], [])
    if len(turn) != 1 or not _has_perm(turn[0], [0, 2, 1, 3]):
        return None
    joined = users.get(turn[0].output[0], [])
    return (weighted[0], joined[0]) if len(joined) == 1 and joined[0].op_type == "Reshape" else None


def _unsplit(name: str, values: Values, producers: dict[str, onnx.NodeProto]) -> str | None:
    """[batch, time, heads, dim] → the [batch, time, width] that was reshaped into it."""
    reshape = producers.get(name)
    if reshape is None or reshape.op_type != "Reshape":
        return None
    flat, split = values[reshape.input[0]].shape, values[name].shape
    same = len(split) == 4 and flat == (split[0], split[1], split[2] * split[3])
    return reshape.input[0] if same else None
