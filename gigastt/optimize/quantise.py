"""The last pass: matrix products with signed 8-bit weights, one scale per output channel.

Activations are quantised while the model runs, with one scale per tensor; so a result depends on all that is
in the tensor, and windows are only batched if that is acceptable. Convolutions stay fp32: onnxruntime's integer Conv
is slower than the float one.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx

from gigastt.optimize.graph import MICROSOFT, Graph, Links, matching


def quantise(graph: Graph) -> int:
    """Give every MatMul with a constant matrix 8-bit weights; its bias goes into the same node."""
    limit = weight_limit()
    links = Links(graph)
    shared: dict[str, list[str]] = {}
    products = [n for n in matching(graph.nodes, "MatMul") if _is_matrix(graph, n.input[1])]
    inputs = [node.input[0] for node in products]
    for node in products:
        weight = quantise_weight(graph.weights[node.input[1]], limit)
        names = [graph.store(weight.integers), graph.store(weight.scales, "scales")]
        bias, output = _take_bias(graph, node, links)
        graph.remove(node)
        source = node.input[0]
        if inputs.count(source) > 1:  # Q and K: quantise their common input once
            if source not in shared:
                shared[source] = graph.add("DynamicQuantizeLinear", [source], 3)
            integers, scale, zero = shared[source]
            arguments = [integers, names[0], scale, names[1], zero, "", *bias]
            graph.add("MatMulIntegerToFloat", arguments, [output], domain=MICROSOFT)
        else:
            graph.add("DynamicQuantizeMatMul", [source, *names, "", *bias], [output], domain=MICROSOFT)
    return len(products)


class QuantisedWeight(NamedTuple):
    integers: npt.NDArray[np.int8]  # [inputs, outputs]
    scales: npt.NDArray[np.float32]  # [outputs]


def quantise_weight(weight: npt.NDArray[np.float32], limit: int) -> QuantisedWeight:
    """Round a matrix [inputs, outputs] to integers within ±`limit`, symmetric, one scale per column."""
    scales = np.abs(weight).max(axis=0) / np.float32(limit)
    scales[scales == 0] = 1.0
    integers = np.rint(weight / scales).clip(-limit, limit)  # a scale below float32's normal range is inexact
    return QuantisedWeight(integers.astype(np.int8), scales.astype(np.float32))


def weight_limit() -> int:
    """The largest weight that this processor multiplies without saturating.

    x86 without VNNI adds two products of 8 bits in 16 bits, which overflow with weights of more than 7 bits.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return 127
    return 127 if {"avx512_vnni", "avx_vnni"} & cpu_flags() else 64


def cpu_flags() -> set[str]:
    """Return what the processor can do, as Linux names it; nothing elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return set()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())


def _is_matrix(graph: Graph, name: str) -> bool:
    weight = graph.weights.get(name)
    return weight is not None and weight.ndim == 2 and weight.dtype == np.float32


def _take_bias(graph: Graph, node: onnx.NodeProto, links: Links) -> tuple[list[str], str]:
    """Return the bias added to a product, and the name of the sum; of the product itself if there is none."""
    add = links.only_user(node.output[0], "Add")
    bias, _ = graph.operands(add)
    if add is None or bias is None or graph.weights[bias].shape != graph.weights[node.input[1]].shape[1:]:
        return [], node.output[0]
    graph.remove(add)
    return [bias], add.output[0]
