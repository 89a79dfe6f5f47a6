"""Write an encoder of GigaAM v3's architecture with random weights, in the exporter's operators.

Owns the shape of the encoder; the public facts come from the published description of GigaAM v3: two strided
convolutions (kernel 5), 16 Conformer layers of width 768 with 16 heads, rotary positions applied *before* the
projections of Q and K, from a table of 5,000 with that base, feed-forward factor 4, layer norm in the convolution
module, kernel 5. The operators are those that torch's exporters leave, in one of several forms. Nothing here is tuned
for speed: the spelled-out attention, kernel-1 Convs and Where masks are what the optimiser has to find. The few
channels of `cues` are not random, and the random layers next to leave them alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias, get_args

import numpy as np
import onnx
from onnx import TensorProto

from benchmarks import cues
from benchmarks.graph_writer import Array, GraphWriter, floats, integers

MEL = 64
TABLE = 5000
Form: TypeAlias = Literal["published", "april", "head", "guarded", "dynamo", "opset16"]
FORMS: tuple[Form, ...] = get_args(Form)
_OPSETS: dict[Form, int] = {"dynamo": 18, "opset16": 16}
# Gain of the last projection of every residual branch. Random layers with larger branches forget their input and
# amplify rounding chaotically, which trained ones do not.
BRANCH = 0.3


@dataclass(frozen=True, slots=True)
class EncoderShape:
    """Sizes and form of the encoder; the defaults are those of the published GigaAM v3.

    Forms, each checked against an export of GigaAM's own code by the operators that it has:

    - published: traced with one row (torch 2.8): no mask in the attention, its scale computed from shapes.
    - april: traced with several rows and plain attention: scores and weights are masked.
    - head: as april, and the input and the first convolutions are masked as well.
    - guarded: the published attention with a mask added to the scores and NaN replaced behind the softmax (torch 2.9).
    - dynamo: torch.export's graph of one row: stored scales, K turned through three dimensions, opset 18.
    - opset16: the published one with its layer norms spelled out.
    """

    layers: int = 16
    width: int = 768
    heads: int = 16
    feed_forward: int = 4
    kernel: int = 5
    form: Form = "published"


def write_encoder(shape: EncoderShape, seed: int) -> tuple[onnx.ModelProto, int]:
    """Build the encoder; returns it with its number of trained parameters."""
    writer = GraphWriter("main_graph", seed, _OPSETS.get(shape.form, 17))
    return _Encoder(writer, shape).write(), writer.parameters


class _Encoder:
    def __init__(self, writer: GraphWriter, shape: EncoderShape) -> None:
        self.w = writer
        self.s = shape

    def write(self) -> onnx.ModelProto:
        w, s = self.w, self.s
        x, length = self._subsample()
        time = w.dimension(x, 1, "/pos_enc")
        cos, sin = self._positions(time)
        padded = self._padded(length, time)
        blocked = self._blocked(padded, time) if s.form in ("april", "head", "guarded") else None
        for number in range(s.layers):
            x = self._layer(x, f"/layers.{number}", cos, sin, padded, blocked)
        w.rename(w.op("Transpose", [x], perm=[0, 2, 1]), "encoded")
        w.rename(w.op("Cast", [length], to=TensorProto.INT32), "encoded_len")
        batch: str | int = 1 if s.form == "dynamo" else "batch_size"
        return w.model(
            [floats("audio_signal", batch, MEL, "seq_len"), integers("length", batch)],
            [floats("encoded", batch, s.width, "enc_len"), integers("encoded_len", batch, wide=False)],
        )

    def _subsample(self) -> tuple[str, str]:
        """audio_signal [B, 64, T] → [B, T', width]; length → float lengths [B]."""
        w, s, scope = self.w, self.s, "/pre_encode"
        x = w.op("Transpose", ["audio_signal"], scope=scope, perm=[0, 2, 1])
        x = w.op("Transpose", [x], scope=scope, perm=[0, 2, 1])
        if s.form == "head":
            x = self._silenced("audio_signal", "length")
        channels = MEL
        length = w.op("Cast", ["length"], scope=scope, to=TensorProto.FLOAT)
        for number in (0, 2):
            # Log-mel has a spread of 4: a small gain keeps the first layer's output near unit size.
            x = self._conv(
                x, f"{scope}/conv.{number}", channels, s.width, 5, stride=2, gain=0.5 if number == 0 else 2.0
            )
            length = w.op("Add", [length, w.scalar(-1.0)], scope=scope)
            length = w.op("Div", [length, w.scalar(2.0)], scope=scope)
            length = w.op("Floor", [w.op("Add", [length, w.scalar(1.0)], scope=scope)], scope=scope)
            if s.form == "head":
                x = self._silenced(x, w.op("Cast", [length], scope=scope, to=TensorProto.INT64))
            x = w.op("Relu", [x], scope=scope)
            channels = s.width
        self._lay(f"{scope[1:]}.conv.0", *cues.listening(MEL))
        self._lay(f"{scope[1:]}.conv.2", *cues.comparing(s.width))
        return w.op("Transpose", [x], scope=scope, perm=[0, 2, 1]), length

    def _silenced(self, x: str, length: str) -> str:
        """[B, C, T] with zeros behind each row's end."""
        w = self.w
        steps = w.op("Range", [w.int_scalar(0), w.dimension(x, 2, ""), w.int_scalar(1)])
        behind = w.op("GreaterOrEqual", [w.op("Unsqueeze", [steps, w.ints(0)]), w.op("Unsqueeze", [length, w.ints(1)])])
        return w.op("Where", [w.op("Unsqueeze", [behind, w.ints(1)]), w.scalar(0.0), x])

    def _lay(self, name: str, weight: Array, bias: Array) -> None:
        """Put the cues' rows in place of a convolution's first ones, with a trace of what was there."""

        def lay(values: Array, rows: Array) -> Array:
            values[: len(rows)] = rows + 1e-4 * values[: len(rows)]
            return values

        self.w.change(f"{name}.weight", lambda values: lay(values, weight))
        self.w.change(f"{name}.bias", lambda values: lay(values, bias))

    def _conv(
        self,
        x: str,
        scope: str,
        fan_in: int,
        fan_out: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        gain: float = 1.0,
    ) -> str:
        dotted = scope.removeprefix("/").replace("/", ".")
        fan = fan_in // groups * kernel
        make = self.w.filters if stride > 1 else partial(self.w.uniform, fan_in=fan)
        weight = make(f"{dotted}.weight", (fan_out, fan_in // groups, kernel), gain=gain)
        bias = self.w.around(f"{dotted}.bias", fan_out, 0.0, 0.02)
        return self.w.op(
            "Conv",
            [x, weight, bias],
            scope=scope,
            dilations=[1],
            group=groups,
            kernel_shape=[kernel],
            pads=[kernel // 2, kernel // 2],
            strides=[stride],
        )

    def _positions(self, time: str) -> tuple[str, str]:
        """The table [2 * 5000, 1, 1, head]: cosines, then sines; sliced to the window's length."""
        w, head = self.w, self.s.width // self.s.heads
        frequency = 1.0 / (float(TABLE) ** (np.arange(0, head, 2) / head))
        angle = np.concatenate([np.outer(np.arange(TABLE), frequency)] * 2, axis=1)[:, None, None, :]
        if self.s.form == "dynamo":  # which traces how the table is made
            stored = w.stored(angle.astype(np.float32), "pos_enc.angles", trained=False)
            name = w.op("Concat", [w.op("Cos", [stored]), w.op("Sin", [stored])], axis=0)
        else:
            table = np.concatenate([np.cos(angle), np.sin(angle)]).astype(np.float32)
            name = w.stored(table, "pos_enc.pe", trained=False)
        end = w.op("Unsqueeze", [time, w.ints(0)], scope="/pos_enc")
        cos = w.op("Slice", [name, w.ints(0), end, w.ints(0), w.ints(1)], scope="/pos_enc")
        end = w.op(
            "Unsqueeze", [w.op("Add", [time, w.int_scalar(TABLE)], scope="/pos_enc"), w.ints(0)], scope="/pos_enc"
        )
        sin = w.op("Slice", [name, w.ints(TABLE), end, w.ints(0), w.ints(1)], scope="/pos_enc")
        return cos, sin

    def _padded(self, length: str, time: str) -> str:
        """Bool [B, T']: true on frames behind a row's end."""
        w = self.w
        steps = w.op("Range", [w.int_scalar(0), time, w.int_scalar(1)])
        batch = w.dimension(length, 0, "")
        rows = w.op("Expand", [steps, w.shape("", batch, time)])
        ends = w.op("Unsqueeze", [w.op("Cast", [length], to=TensorProto.INT64), w.ints(-1)])
        return w.op("Not", [w.op("Less", [rows, ends])])

    def _blocked(self, padded: str, time: str) -> str:
        """Bool [B, 1, T', T']: true where a key or a query is padding."""
        w = self.w
        valid = w.op("Unsqueeze", [w.op("Not", [padded]), w.ints(1)])
        square = w.op("Tile", [valid, w.shape("", 1, time, 1)])
        both = w.op("And", [square, w.op("Transpose", [square], perm=[0, 2, 1])])
        return w.op("Unsqueeze", [w.op("Not", [both]), w.ints(1)])

    def _layer(self, x: str, scope: str, cos: str, sin: str, padded: str, blocked: str | None) -> str:
        w, width = self.w, self.s.width
        x = self._half_step(x, scope, "feed_forward1")
        y = w.layer_norm(x, f"{scope}/norm_self_att", width)
        x = w.op("Add", [x, self._attention(y, f"{scope}/self_attn", cos, sin, blocked)], scope=scope)
        y = w.layer_norm(x, f"{scope}/norm_conv", width)
        x = w.op("Add", [x, self._convolution(y, f"{scope}/conv", padded)], scope=scope)
        x = self._half_step(x, scope, "feed_forward2")
        return w.layer_norm(x, f"{scope}/norm_out", width, plain=cues.CHANNELS)

    def _half_step(self, x: str, scope: str, name: str) -> str:
        w, width, hidden = self.w, self.s.width, self.s.width * self.s.feed_forward
        y = w.layer_norm(x, f"{scope}/norm_{name}", width)
        y = w.silu(w.linear(y, f"{scope}/{name}/linear1", width, hidden), f"{scope}/{name}/activation")
        y = w.linear(y, f"{scope}/{name}/linear2", hidden, width, gain=BRANCH, faint=cues.CHANNELS)
        return w.op("Add", [x, w.op("Mul", [y, w.scalar(0.5)], scope=scope)], scope=scope)

    def _attention(self, x: str, scope: str, cos: str, sin: str, blocked: str | None) -> str:
        w, s = self.w, self.s
        head = s.width // s.heads
        batch, time = w.dimension(x, 0, scope), w.dimension(x, 1, scope)
        by_head = w.shape(scope, time, batch, s.heads, head)
        flat = w.shape(scope, time, batch, s.width)
        split = w.shape(scope, batch, -1, s.heads, head)

        def turned(value: str) -> str:
            value = w.op("Reshape", [w.op("Transpose", [value], scope=scope, perm=[1, 0, 2]), by_head], scope=scope)
            low, high = self._halves(value, scope)
            swapped = w.op("Concat", [w.op("Neg", [high], scope=scope), low], scope=scope, axis=-1)
            return w.op(
                "Add", [w.op("Mul", [value, cos], scope=scope), w.op("Mul", [swapped, sin], scope=scope)], scope=scope
            )

        def projected(value: str, name: str, gain: float) -> str:
            value = w.op("Transpose", [w.op("Reshape", [value, flat], scope=scope)], scope=scope, perm=[1, 0, 2])
            value = w.linear(value, f"{scope}/{name}", s.width, s.width, gain)
            return w.op("Reshape", [value, split], scope=scope)

        plain = w.op("Reshape", [w.op("Transpose", [x], scope=scope, perm=[1, 0, 2]), by_head], scope=scope)
        q = w.op("Transpose", [projected(turned(x), "linear_q", 1.0)], scope=scope, perm=[0, 2, 1, 3])
        k = w.op("Transpose", [projected(turned(x), "linear_k", 1.0)], scope=scope, perm=[0, 2, 3, 1])
        v = w.op("Transpose", [projected(plain, "linear_v", 1.0)], scope=scope, perm=[0, 2, 1, 3])
        weights = self._weights(q, k, scope, blocked)
        y = w.op("Transpose", [w.op("MatMul", [weights, v], scope=scope)], scope=scope, perm=[0, 2, 1, 3])
        y = w.op("Reshape", [y, w.shape(scope, batch, -1, s.width)], scope=scope)
        return w.linear(y, f"{scope}/linear_out", s.width, s.width, gain=BRANCH, faint=cues.CHANNELS)

    def _weights(self, q: str, k: str, scope: str, blocked: str | None) -> str:
        """q [B, H, T, d], k [B, H, d, T] → softmax of their scaled product [B, H, T, T], as the form writes it."""
        w, s = self.w, self.s
        head = s.width // s.heads
        if s.form in ("april", "head"):
            assert blocked is not None
            scores = w.op("MatMul", [q, w.op("Div", [k, w.scalar(math.sqrt(head))], scope=scope)], scope=scope)
            scores = w.op("Where", [blocked, w.scalar(-10_000.0), scores], scope=scope)
            weights = w.op("Softmax", [scores], scope=scope, axis=-1)
            return w.op("Where", [blocked, w.scalar(0.0), weights], scope=scope)
        if s.form == "dynamo":
            half = w.scalar(head**-0.25)
            rows = w.shape(scope, -1, head, w.dimension(k, 3, scope))
            whole = w.shape(scope, w.dimension(q, 0, scope), s.heads, head, w.dimension(k, 3, scope))
            k = w.op("Reshape", [w.op("Reshape", [k, rows], scope=scope), whole], scope=scope)
            q, k = (w.op("Mul", [value, half], scope=scope) for value in (q, k))
            return w.op("Softmax", [w.op("MatMul", [q, k], scope=scope)], scope=scope, axis=-1)
        size = w.op("Slice", [w.op("Shape", [q], scope=scope), w.ints(-1), w.ints(2**63 - 1)], scope=scope)
        root = w.op("Sqrt", [w.op("Cast", [size], scope=scope, to=TensorProto.FLOAT)], scope=scope)
        scale = w.op("Div", [w.floats(1.0), root], scope=scope)
        scale = w.op("Cast", [scale], scope=scope, to=TensorProto.FLOAT)
        q, k = (w.op("Mul", [value, w.op("Sqrt", [scale], scope=scope)], scope=scope) for value in (q, k))
        scores = w.op("MatMul", [q, k], scope=scope)
        if blocked is None:
            return w.op("Softmax", [scores], scope=scope, axis=-1)
        mask = w.op("Where", [blocked, w.scalar(-math.inf), w.scalar(0.0)], scope=scope)
        weights = w.op("Softmax", [w.op("Add", [scores, mask], scope=scope)], scope=scope, axis=-1)
        return w.op("Where", [w.op("IsNaN", [weights], scope=scope), w.scalar(0.0), weights], scope=scope)

    def _halves(self, value: str, scope: str) -> tuple[str, str]:
        """The lower and the upper half of the last axis of four, cut where the value's shape says."""
        w = self.w
        half = w.op("Div", [w.dimension(value, 3, scope), w.int_scalar(2)], scope=scope)
        middle = w.op("Unsqueeze", [half, w.ints(0)], scope=scope)
        low = w.op("Slice", [value, w.ints(0), middle, w.ints(3), w.ints(1)], scope=scope)
        high = w.op("Slice", [value, middle, w.ints(2**63 - 1), w.ints(3), w.ints(1)], scope=scope)
        return low, high

    def _convolution(self, x: str, scope: str, padded: str) -> str:
        w, s = self.w, self.s
        y = w.op("Transpose", [x], scope=scope, perm=[0, 2, 1])
        y = self._conv(y, f"{scope}/pointwise_conv1", s.width, 2 * s.width, 1)
        left, right = w.split(y, 1, scope)
        y = w.op("Mul", [left, w.op("Sigmoid", [right], scope=scope)], scope=scope)
        y = w.op("Where", [w.op("Unsqueeze", [padded, w.ints(1)], scope=scope), w.scalar(0.0), y], scope=scope)
        y = self._conv(y, f"{scope}/depthwise_conv", s.width, s.width, s.kernel, groups=s.width)
        y = w.op("Transpose", [y], scope=scope, perm=[0, 2, 1])
        y = w.layer_norm(y, f"{scope}/batch_norm", s.width)
        y = w.silu(w.op("Transpose", [y], scope=scope, perm=[0, 2, 1]), f"{scope}/activation")
        y = self._conv(y, f"{scope}/pointwise_conv2", s.width, s.width, 1, gain=BRANCH)
        name = f"{scope.removeprefix('/').replace('/', '.')}.pointwise_conv2"
        w.weaken(f"{name}.weight", cues.CHANNELS, axis=0)
        w.weaken(f"{name}.bias", cues.CHANNELS)
        return w.op("Transpose", [y], scope=scope, perm=[0, 2, 1])
