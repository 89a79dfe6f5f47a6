"""A pass that lets rows of different lengths share a run: nothing sees what lies behind a row's end.

Exporters trace one row, and leave out the masks that it does not need. Convolutions and attention are what looks at
other frames; the audio behind a row's end is zeros already, as a lone row's padding is.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from gigastt.optimize.graph import Graph, attribute
from gigastt.optimize.observe import look_inside

_NEVER = np.array(-10_000.0, np.float32)  # a score whose weight is zero, in 16 bits too


def mask_rows(graph: Graph) -> int:
    """Silence what is behind each row's end before convolutions over frames, and keep attention from it."""
    values = look_inside(graph)
    audio = values[graph.inputs[0].name]
    batch, _, frames = audio.shape
    ends = _Ends(graph, frames)
    nodes, count = list(graph.nodes), 0
    for node in nodes:
        shape = values[node.input[0]].shape if node.input and node.input[0] in values else ()
        if not shape or shape[0] != batch or shape[-1] not in ends.sizes:
            continue
        if node.op_type == "Conv" and len(shape) == 3 and shape[-1] != frames and _looks_aside(node):
            _mask(graph, node, ends.within(shape[-1], 1), np.array(0.0, np.float32))
        elif node.op_type == "Softmax" and len(shape) == 4 and shape[-1] == shape[-2]:
            _mask(graph, node, ends.within(shape[-1], 2), _NEVER)
        else:
            continue
        count += 1
    return count


def _looks_aside(conv: onnx.NodeProto) -> bool:
    return any(size > 1 for size in attribute(conv, "kernel_shape", [1]))


def _mask(graph: Graph, node: onnx.NodeProto, within: str, otherwise: np.ndarray) -> None:
    [node.input[0]] = graph.add("Where", [within, node.input[0], graph.store(otherwise, "masked")])


class _Ends:
    """Which frames are within a row, at each rate of frames; nodes are added where one is asked for.

    sizes: frames of the trial at each rate: every convolution of stride two halves it, rounded up.
    """

    def __init__(self, graph: Graph, frames: int) -> None:
        self.sizes: Mapping[int, int] = {-(-frames // 2**halvings): halvings for halvings in range(4)}
        self._graph = graph
        self._made: dict[tuple[int, int], str] = {}

    def within(self, size: int, axes: int) -> str:
        """Return a bool value [rows, 1 …, frames] with so many axes between."""
        key = size, axes
        if key not in self._made:
            [flat] = self._graph.add("Slice", [self._whole(), *self._every(2 ** self.sizes[size])])
            between = self._graph.ints(*range(1, axes + 1))
            [self._made[key]] = self._graph.add("Unsqueeze", [flat, between])
        return self._made[key]

    def _every(self, step: int) -> list[str]:
        return [self._graph.ints(value) for value in (0, np.iinfo(np.int64).max, 1, step)]

    def _whole(self) -> str:
        """Return that of the audio itself [rows, frames]."""
        if (0, 0) not in self._made:
            graph = self._graph
            audio, length = (value.name for value in graph.inputs[:2])
            [shape] = graph.add("Shape", [audio])
            [frames] = graph.add("Gather", [shape, graph.store(np.array(2, np.int64))], axis=0)
            zero, one = (graph.store(np.array(value, np.int64)) for value in (0, 1))
            [steps] = graph.add("Range", [zero, frames, one])
            [ends] = graph.add("Unsqueeze", [length, graph.ints(1)])
            [self._made[0, 0]] = graph.add("Less", [steps, ends])
        return self._made[0, 0]
