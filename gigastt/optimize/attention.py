"""Passes that recognise spelled-out attention: rotary positions before the projections, and the heads.

Patterns are matched on few operators and on the values of a trial run, so that it does not matter how an exporter
computes a shape or a scale, or in which layout it multiplies.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import onnx

from gigastt.optimize.graph import MICROSOFT, Graph, Links, attribute, rewrite_each
from gigastt.optimize.observe import SAME, Values, look_inside, relative_difference
from gigastt.speech.model import Floats

_LAYOUT = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Cast", "Identity")


def rotary_positions(graph: Graph) -> int:
    """Replace `x·cos + (−high, low)·sin` over heads in [time, batch, head, dim] by one RotaryEmbedding."""
    return rewrite_each(graph, "Add", partial(_rewrite_rotary, look_inside(graph)))


def _rewrite_rotary(values: Values, graph: Graph, links: Links, node: onnx.NodeProto) -> bool:
    found = _match_rotary(node, links)
    if found is None:
        return False
    # Around it, Reshape and a Transpose of batch and time: from and to [batch, time, width].
    above, below = links.maker(found.value, "Reshape"), links.only_user(node.output[0], "Reshape")
    start = links.maker(above.input[0], "Transpose") if above is not None else None
    end = links.only_user(below.output[0], "Transpose") if below is not None else None
    if start is None or end is None or not all(list(attribute(turn, "perm", [])) == [1, 0, 2] for turn in (start, end)):
        return False
    time, batch, heads, head = values[found.value].shape
    if any(values[name].shape != (batch, time, heads * head) for name in (start.input[0], end.output[0])):
        return False
    if any(values[table].size != time * head for table in (found.cos, found.sin)):
        return False
    rows, low, high, last = graph.ints(-1, head), graph.ints(0), graph.ints(head // 2), graph.ints(1)
    tables = [
        graph.add("Slice", [*graph.add("Reshape", [table, rows]), low, high, last])[0]
        for table in (found.cos, found.sin)
    ]
    graph.remove(end)
    inputs = [start.input[0], graph.ints(0), *tables]
    graph.add("RotaryEmbedding", inputs, [end.output[0]], domain=MICROSOFT, num_heads=heads, interleaved=0)
    return True


class _Rotary(NamedTuple):
    value: str
    cos: str
    sin: str


def _match_rotary(node: onnx.NodeProto, links: Links) -> _Rotary | None:
    products = [links.maker(name, "Mul") for name in node.input]
    for straight, crossed in (products, products[::-1]):
        if straight is None or crossed is None:
            continue
        for turned, sin in (crossed.input, crossed.input[::-1]):
            join = links.maker(turned, "Concat")
            if join is None or len(join.input) != 2 or links.maker(join.input[0], "Neg") is None:
                continue
            low = links.maker(join.input[1], "Slice")
            if low is not None and low.input[0] in straight.input:
                value = low.input[0]
                return _Rotary(value, next(name for name in straight.input if name != value), sin)
    return None


def fuse_attention(graph: Graph) -> int:
    """Replace scores, softmax and the weighted sum by one MultiHeadAttention.

    Splitting into heads, scaling, turning and joining around them are not matched: the values [batch, time, width]
    before and after are found, and attention over them must give what the graph gives.
    """
    return rewrite_each(graph, "Softmax", partial(_fuse, look_inside(graph)))


def _fuse(values: Values, graph: Graph, links: Links, softmax: onnx.NodeProto) -> bool:
    weighted = links.only_user(softmax.output[0])
    while weighted is not None and weighted.op_type in _LAYOUT:
        weighted = links.only_user(weighted.output[0])
    scores = _climb(softmax.input[0], graph, links, lambda name: links.maker(name, "MatMul") is not None)
    if weighted is None or weighted.op_type != "MatMul" or scores is None:
        return False
    end = links.only_user(weighted.output[0], *_LAYOUT)
    while end is not None and values[end.output[0]].ndim != 3:
        end = links.only_user(end.output[0], *_LAYOUT)
    product = links.maker(scores.name)
    if end is None or product is None:
        return False
    batch, time, width = values[end.output[0]].shape
    heads, rest = divmod(values[scores.name].size, batch * time * time)
    if rest or heads < 1 or width % heads:
        return False

    def is_flat(name: str) -> bool:
        return values[name].shape == (batch, time, width)

    q, k, v = (_climb(name, graph, links, is_flat) for name in (*product.input, weighted.input[1]))
    if q is None or k is None or v is None or v.factor != 1.0:
        return False
    scale = scores.factor * q.factor * k.factor
    expected = _attend(values[q.name], values[k.name], values[v.name], heads, scale)
    if relative_difference(values[end.output[0]], expected) > SAME:
        return False
    graph.remove(end)
    inputs = [q.name, k.name, v.name]
    graph.add("MultiHeadAttention", inputs, [end.output[0]], domain=MICROSOFT, num_heads=heads, scale=scale)
    return True


class _Climbed(NamedTuple):
    """A value above another one; that one is it times `factor`, in some layout."""

    name: str
    factor: float


def _climb(name: str, graph: Graph, links: Links, is_found: Callable[[str], bool]) -> _Climbed | None:
    """Go up through changes of layout and scalar factors, to the first value that `is_found`."""
    factor = 1.0
    while (node := links.maker(name)) is not None:
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


def _attend(q: Floats, k: Floats, v: Floats, heads: int, scale: float) -> Floats:
    """Return scaled dot-product attention without a mask over [batch, time, width]."""
    batch, time, width = q.shape
    by_head = [value.reshape(batch, time, heads, width // heads).transpose(0, 2, 1, 3) for value in (q, k, v)]
    scores = scale * by_head[0] @ by_head[1].transpose(0, 1, 3, 2)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weighted = (weights / weights.sum(axis=-1, keepdims=True)) @ by_head[2]
    joined: Floats = weighted.transpose(0, 2, 1, 3).reshape(batch, time, width)
    return joined
