"""Write the decoder, the joint and the vocabulary of GigaAM v3's shapes with random weights.

Owns their sizes and the pieces, and which pieces open a word and which close it. What the weights say about the
`cues` is not random.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from benchmarks import cues
from benchmarks.graph_writer import Array, GraphWriter, floats, integers

PREDICTOR = 320
HIDDEN = 320
VOCABULARY = 1025
_OPEN = 10.0  # of a gate: sigmoid and tanh are 1 there
_REMEMBERED = math.tanh(1.0)  # what the LSTM makes of a 1
_MURMUR = 0.1  # of the scores that random weights give


def write_decoder(tokens: cues.Tokens, seed: int) -> tuple[onnx.ModelProto, int]:
    """Embedding and LSTM; returns the model with its number of trained parameters.

    Of the first states, the LSTM keeps what the last token left in its embedding, and nothing else.
    """
    w = GraphWriter("main_graph", seed)
    table = w.around("embed.weight", VOCABULARY * PREDICTOR, 0.0, 1.0)
    x = w.op("Gather", [table, "x"])
    x = w.op("Transpose", [x], perm=[1, 0, 2])
    weight = w.uniform("onnx::LSTM_101", (1, 4 * PREDICTOR, PREDICTOR), PREDICTOR)
    recurrent = w.uniform("onnx::LSTM_102", (1, 4 * PREDICTOR, PREDICTOR), PREDICTOR)
    bias = w.around("onnx::LSTM_103", 8 * PREDICTOR, 0.0, 0.1)

    def remember(values: Array) -> Array:
        values.reshape(VOCABULARY, PREDICTOR)[:, : cues.MEMORY] = tokens.memory
        return values

    w.change(table, remember)
    w.change(weight, lambda values: _keep(values, np.eye(cues.MEMORY, PREDICTOR) * _OPEN))
    w.change(recurrent, lambda values: _keep(values, np.zeros((cues.MEMORY, PREDICTOR))))
    w.change(bias, _hold_open)
    y = w.op("LSTM", [x, weight, recurrent, bias, "", "h.1", "c.1"], outputs=3, hidden_size=PREDICTOR)
    hidden, cell = y[:-1] + "1", y[:-1] + "2"
    y = w.op("Squeeze", [y, w.ints(1)])
    w.rename(w.op("Transpose", [y], perm=[1, 0, 2]), "dec")
    w.rename(hidden, "h")
    w.rename(cell, "c")
    model = w.model(
        [
            integers("x", "batch_size", 1),
            floats("h.1", 1, "batch_size", PREDICTOR),
            floats("c.1", 1, "batch_size", PREDICTOR),
        ],
        [
            floats("dec", "batch_size", 1, PREDICTOR),
            floats("h", 1, "batch_size", PREDICTOR),
            floats("c", 1, "batch_size", PREDICTOR),
        ],
    )
    for tensor in model.graph.initializer:  # written flat, so that `around` needs no shape
        if tensor.name == "embed.weight":
            tensor.dims[:] = [VOCABULARY, PREDICTOR]
        elif tensor.name == "onnx::LSTM_103":
            tensor.dims[:] = [1, 8 * PREDICTOR]
    return model, w.parameters


def _keep(values: Array, cell: npt.NDArray[np.float64]) -> Array:
    """Replace the rows of the first states in an LSTM weight [1, 4 * P, n]: gates nothing moves, a cell as given."""
    gates = values.reshape(4, PREDICTOR, -1)  # in, out, forget, cell
    gates[:3, : cues.MEMORY] = 0.0
    gates[3, : cues.MEMORY] = cell
    return values


def _hold_open(values: Array) -> Array:
    """Set the bias [8 * P] of the first states: they take everything in, give it out and keep nothing."""
    gates = values.reshape(2, 4, PREDICTOR)
    gates[:, :, : cues.MEMORY] = 0.0
    gates[0, :3, : cues.MEMORY] = np.array([_OPEN, _OPEN, -_OPEN])[:, None]
    return values


@dataclass(frozen=True, slots=True)
class JointInput:
    """What the encoder gives on speech: its mean [width] over time and its spread around it.

    The joint removes the mean and divides by the spread, as a trained one would learn to.
    scale: what becomes of a 1 among the cues on its way through the encoder.
    """

    mean: Array
    spread: float
    scale: float


def write_joint(encoder: JointInput, tokens: cues.Tokens, seed: int) -> tuple[onnx.ModelProto, int]:
    """Two projections, ReLU, one more, log-softmax; returns the model with its number of trained parameters.

    The first hidden units read the cues; the others are random, and are heard faintly.
    """
    w = GraphWriter("main_graph", seed)
    width = encoder.mean.size
    enc = w.linear(w.op("Transpose", ["enc"], perm=[0, 2, 1]), "/enc", width, HIDDEN, gain=1.0 / encoder.spread)
    dec = w.linear(w.op("Transpose", ["dec"], perm=[0, 2, 1]), "/pred", PREDICTOR, HIDDEN, gain=1.5)
    y = w.op("Add", [w.op("Unsqueeze", [enc, w.ints(2)]), w.op("Unsqueeze", [dec, w.ints(1)])])
    weight = w.uniform("onnx::MatMul_201", (HIDDEN, VOCABULARY), HIDDEN, _MURMUR)
    y = w.op(
        "Add", [w.around("joint_net.1.bias", VOCABULARY, 0.0, _MURMUR), w.op("MatMul", [w.op("Relu", [y]), weight])]
    )
    w.rename(w.op("LogSoftmax", [y], axis=-1), "joint")
    reading = cues.read(encoder.scale)

    def lay(name: str, rows: Array) -> Array:
        """Give the units that read the cues their weights from `rows`, and none from elsewhere."""

        def laid(values: Array) -> Array:
            values[:, : cues.UNITS] = 0.0
            values[: len(rows), : cues.UNITS] = rows
            return values

        return w.change(name, laid)

    from_encoder = lay("onnx::MatMul_1001", reading.encoder)
    w.change("enc.bias", lambda values: values - encoder.mean @ from_encoder)
    w.change("enc.bias", lambda values: np.append(reading.bias, values[cues.UNITS :]))
    lay("onnx::MatMul_1004", reading.prediction / _REMEMBERED)
    w.change("pred.bias", lambda values: np.append(np.zeros(cues.UNITS), values[cues.UNITS :]))
    w.change("onnx::MatMul_201", lambda values: np.append(tokens.scores, values[cues.UNITS :], axis=0))
    w.change("joint_net.1.bias", lambda values: values + tokens.bias)
    model = w.model(
        [floats("enc", "batch_size", width, 1), floats("dec", "batch_size", PREDICTOR, 1)],
        [floats("joint", "batch_size", 1, 1, VOCABULARY)],
    )
    return model, w.parameters


def deal_tokens(seed: int) -> cues.Tokens:
    """Let the vocabulary's syllables be emitted: some open a word or another part of it, the others close one.

    About three openings in four begin a word, so a word has two or four pieces.
    """
    pieces = vocabulary()
    bare = [piece.removeprefix("▁") for piece in pieces]
    syllable = np.array([piece.isalpha() and piece.islower() and len(piece) > 1 for piece in bare])
    long = np.flatnonzero([len(piece) == 3 and piece.isalpha() for piece in pieces])
    opening = np.array([piece.startswith("▁") for piece in pieces])
    opening[long[:: len(long) // 50]] = True
    return cues.assign(opening & syllable, ~opening & syllable, seed)


def vocabulary() -> list[str]:
    """1,025 pieces: `<unk>`, punctuation, letters, syllables with and without `▁`, and `<blk>` last."""
    letters = "абвгдежзийклмнопрстуфхцчшщъыьэюяё"
    vowels, consonants = "аеиоуыюя", "бвгджзклмнпрстфхцчшщ"
    pieces = ["<unk>", ".", ",", "?", "!", "-", "▁", *letters, *letters.upper()]
    pieces += [f"▁{letter}" for letter in letters + letters.upper()]
    syllables = [a + b for a, b in itertools.product(consonants, vowels)]
    pieces += syllables + [f"▁{s}" for s in syllables] + [f"▁{s.capitalize()}" for s in syllables]
    pieces += [a + b + c for a, b, c in itertools.product(consonants, vowels, "лмнрст")]
    return [*pieces[: VOCABULARY - 1], "<blk>"]
