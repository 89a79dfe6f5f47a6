"""Write the decoder, the joint and the vocabulary of GigaAM v3's shapes with random weights.

Owns their sizes and the pieces; the joint's bias, which decides how often a token is emitted, is an argument.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from benchmarks.graph_writer import GraphWriter, floats, integers

PREDICTOR = 320
HIDDEN = 320
VOCABULARY = 1025
# Strong enough that the state never settles: a settled one would emit the same token for ever.
LSTM_GAIN = 8.0
SHARPNESS = 16.0  # of the scores: a trained joint is sure of its tokens, and confidences follow from it


def write_decoder(seed: int) -> tuple[onnx.ModelProto, int]:
    """Embedding and LSTM; returns the model with its number of trained parameters."""
    w = GraphWriter("main_graph", seed)
    table = w.around("embed.weight", VOCABULARY * PREDICTOR, 0.0, 1.0)
    x = w.op("Gather", [table, "x"])
    x = w.op("Transpose", [x], perm=[1, 0, 2])
    weight = w.uniform("onnx::LSTM_101", (1, 4 * PREDICTOR, PREDICTOR), PREDICTOR, LSTM_GAIN)
    recurrent = w.uniform("onnx::LSTM_102", (1, 4 * PREDICTOR, PREDICTOR), PREDICTOR, LSTM_GAIN)
    bias = w.around("onnx::LSTM_103", 8 * PREDICTOR, 0.0, 0.1)
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


@dataclass(frozen=True, slots=True)
class JointInput:
    """What the encoder gives on speech: its mean [width] over time and its spread around it.

    The joint removes the mean and divides by the spread, as a trained one would learn to.
    """

    mean: npt.NDArray[np.float32]
    spread: float


def write_joint(encoder: JointInput, seed: int, blank_bias: float) -> tuple[onnx.ModelProto, int]:
    """Two projections, ReLU, one more, log-softmax; returns the model with its number of trained parameters."""
    w = GraphWriter("main_graph", seed)
    width = encoder.mean.size
    enc = w.linear(w.op("Transpose", ["enc"], perm=[0, 2, 1]), "/enc", width, HIDDEN, gain=1.0 / encoder.spread)
    dec = w.linear(w.op("Transpose", ["dec"], perm=[0, 2, 1]), "/pred", PREDICTOR, HIDDEN, gain=1.5)
    y = w.op("Add", [w.op("Unsqueeze", [enc, w.ints(2)]), w.op("Unsqueeze", [dec, w.ints(1)])])
    weight = w.uniform("onnx::MatMul_201", (HIDDEN, VOCABULARY), HIDDEN, 1.5 * SHARPNESS)
    # Unequal token biases: a language uses a few pieces often, and so does this model.
    bias = np.random.default_rng(seed + 1).normal(0.0, 0.3 * SHARPNESS, VOCABULARY)
    bias[-1] = blank_bias
    stored = w.stored(bias.astype(np.float32), "joint_net.1.bias")
    y = w.op("Add", [stored, w.op("MatMul", [w.op("Relu", [y]), weight])])
    w.rename(w.op("LogSoftmax", [y], axis=-1), "joint")
    w.shift("enc.bias", "onnx::MatMul_1001", -encoder.mean)
    model = w.model(
        [floats("enc", "batch_size", width, 1), floats("dec", "batch_size", PREDICTOR, 1)],
        [floats("joint", "batch_size", 1, 1, VOCABULARY)],
    )
    return model, w.parameters


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
