"""Passes that recognise spelled-out attention: rotary positions before the projections, and the heads.

Patterns are matched on few operators and on the values of a trial run, so that it does not matter how an exporter
computes a shape or a scale, or in which layout it multiplies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx

from gigastt.optimize.graph import MICROSOFT, Graph, attribute, matching
from gigastt.optimize.observe import Floats, Values, look_inside, relative_difference

_LAYOUT = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Cast", "Identity")
_SAME = 1e-4  # float32 rounding of one attention


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
    """Replace scores, softmax and the weighted sum by one MultiHeadAttention.

    What comes before and behind them (splitting into heads, scaling, turning, joining) is not matched: the values
    [batch, time, width] around it are found, and attention over them must give what the graph gives.
    """
    values, producers, users = look_inside(graph), graph.producers(), graph.consumers()
    count = 0
    for softmax in matching(graph.nodes, "Softmax"):
        found = _match_attention(softmax, graph, values, producers, users)
        if found is None:
            continue
        graph.remove(found.end)
        graph.add(
            "MultiHeadAttention",
            [found.q, found.k, found.v],
            [found.end.output[0]],
            domain=MICROSOFT,
            num_heads=found.heads,
            scale=found.scale,
        )
        count += 1
    return count


@dataclass(frozen=True, slots=True)
class _Attention:
    """Attention over `q`, `k` and `v`, [batch, time, width] each; `end` is the node that gives as much."""

    q: str
    k: str
    v: str
    heads: int
    scale: float
    end: onnx.NodeProto


def _match_attention(
    softmax: onnx.NodeProto,
    graph: Graph,
    values: Values,
    producers: dict[str, onnx.NodeProto],
    users: dict[str, list[onnx.NodeProto]],
) -> _Attention | None:
    """Find what surrounds a softmax, and prove by the values of the trial that it is attention."""
    weighted = _only_user(softmax.output[0], users)
    while weighted is not None and weighted.op_type in _LAYOUT:
        weighted = _only_user(weighted.output[0], users)
    if weighted is None or weighted.op_type != "MatMul":
        return None
    end = _only_user(weighted.output[0], users)
    while end is not None and end.op_type in _LAYOUT and values[end.output[0]].ndim != 3:
        end = _only_user(end.output[0], users)
    scores = _climb(softmax.input[0], graph, producers, lambda name: producers[name].op_type == "MatMul")
    if end is None or end.op_type not in _LAYOUT or scores is None:
        return None
    batch, time, width = values[end.output[0]].shape
    heads, rest = divmod(values[scores.name].size, batch * time * time)
    if rest or heads < 1 or width % heads:
        return None

    def is_flat(name: str) -> bool:
        return values[name].shape == (batch, time, width)

    q, k = (_climb(name, graph, producers, is_flat) for name in producers[scores.name].input)
    v = _climb(weighted.input[1], graph, producers, is_flat)
    if q is None or k is None or v is None or v.factor != 1.0:
        return None
    scale = scores.factor * q.factor * k.factor
    expected = _attend(values[q.name], values[k.name], values[v.name], heads, scale)
    if relative_difference(values[end.output[0]], expected) > _SAME:
        return None
    return _Attention(q.name, k.name, v.name, heads, scale, end)


@dataclass(frozen=True, slots=True)
class _Climbed:
    """A value above another one, which is it times `factor`, in some layout."""

    name: str
    factor: float


def _climb(
    name: str, graph: Graph, producers: dict[str, onnx.NodeProto], is_found: Callable[[str], bool]
) -> _Climbed | None:
    """Go up through changes of layout and scalar factors, to the first value that `is_found`."""
    factor = 1.0
    while (node := producers.get(name)) is not None:
        if is_found(name):
            return _Climbed(name, factor)
        scalars = [graph.scalar(other) for other in node.input]
        if node.op_type in _LAYOUT:
            name = node.input[0]
        elif node.op_type == "Div" and scalars[1]:
            factor, name = factor / scalars[1], node.input[0]
        elif node.op_type == "Mul" and (known := next((s for s in scalars if s is not None), None)) is not None:
            factor, name = factor * known, node.input[0 if scalars[0] is None else 1]
        else:
            return None
    return None


def _only_user(name: str, users: dict[str, list[onnx.NodeProto]]) -> onnx.NodeProto | None:
    found = users.get(name, [])
    return found[0] if len(found) == 1 else None


def _attend(q: Floats, k: Floats, v: Floats, heads: int, scale: float) -> Floats:
    """Scaled dot-product attention without a mask over [batch, time, width]."""
    batch, time, width = q.shape
    by_head = [value.reshape(batch, time, heads, width // heads).transpose(0, 2, 1, 3) for value in (q, k, v)]
    scores = scale * by_head[0] @ by_head[1].transpose(0, 1, 3, 2)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weighted = (weights / weights.sum(axis=-1, keepdims=True)) @ by_head[2]
    joined: Floats = weighted.transpose(0, 2, 1, 3).reshape(batch, time, width)
    return joined
