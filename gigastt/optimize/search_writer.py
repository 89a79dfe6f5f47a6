"""Read the search's weights out of a decoder and a joint, and write the file that `speech.search_weights` maps.

    decoder   x → Gather(embedding) → LSTM → dec
    joint     enc → linear ┐
                           + → Relu → linear → (LogSoftmax)
              dec → linear ┘

Weights lose their names in an export, so they are found by their place in the graph: from the output back to
the inputs, through nodes that only move or rename dimensions. Everything else on the way must be exactly of
this form, and the result must agree with onnxruntime before it is written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx

from gigastt.models.disk import replacing, sha256_of
from gigastt.optimize.graph import Graph, Links, attribute, tidy
from gigastt.speech.mapped_search import SEARCH_BLOCK_FRAMES, SearchWeights, WeightNetwork, agree
from gigastt.speech.model import Decoder, Floats, Joint, TripletFiles
from gigastt.speech.search import RunNetwork

_SMALL_PRODUCT = 1_000_000  # OpenBLAS multiplies in place up to this many multiplications
_PIECE_MULTIPLE = 16
_SHAPE_ONLY = ("Identity", "Transpose", "Squeeze", "Unsqueeze", "Reshape", "Flatten")
_LSTM_ATTRIBUTES = {"hidden_size", "direction", "layout", "input_forget"}
_PLAIN_GEMM = {"alpha": 1.0, "beta": 1.0, "transA": 0}


class UnknownGraph(Exception):
    """The graph is not of the form that the search knows; it is run as it is instead."""


def write_search_weights(files: TripletFiles) -> Path:
    """Write the weights file beside a model's decoder, whole or not at all, and return its path.

    Raises:
        UnknownGraph: the decoder or the joint has another form, or computes something else; nothing is written.
        ModelInvalid: a file cannot be read.
    """
    record = _read_record(files.decoder, files.joint)
    try:
        weights = SearchWeights(record[0])
    except ValueError as exc:
        raise UnknownGraph("The decoder's and the joint's weights are not of sizes that fit each other.") from exc
    _compare_with_graphs(weights, files)
    with replacing(files.search_weights) as partial, partial.open("wb") as file:
        np.save(file, record, allow_pickle=False)
    return files.search_weights


def _compare_with_graphs(weights: SearchWeights, files: TripletFiles) -> None:
    dim = weights.encoder.shape[0]
    decoder = Decoder(files.decoder)
    joint = Joint(files.joint, encoder_dim=dim, state_size=decoder.state_size)
    if decoder.state_size != weights.state_size or joint.vocabulary_size != weights.vocabulary_size:
        raise UnknownGraph("The weights found in the decoder and the joint are not of the graphs' sizes.")
    if not agree(WeightNetwork(weights), RunNetwork(decoder, joint), dim, weights.vocabulary_size):
        raise UnknownGraph("The search computed from the weights differs from the decoder's and the joint's.")


def _read_record(decoder: Path, joint: Path) -> npt.NDArray[np.void]:
    gates, recurrent = _read_decoder(_Reader(decoder))
    encoder, prediction, output = _read_joint(_Reader(joint))
    scores, scores_bias = _cut_vocabulary(output)
    arrays = {
        "gates": gates,
        "recurrent": recurrent,
        "encoder": encoder.weight,
        "prediction": prediction.weight,
        "hidden_bias": encoder.bias + prediction.bias,
        "scores": scores,
        "scores_bias": scores_bias,
    }
    layout: list[Any] = [("decoder_sha256", "S64"), ("joint_sha256", "S64")]
    layout += [(name, "f4", array.shape) for name, array in arrays.items()]
    record = np.zeros(1, dtype=layout)
    record["decoder_sha256"] = sha256_of(decoder).encode()
    record["joint_sha256"] = sha256_of(joint).encode()
    for name, array in arrays.items():
        record[name] = array
    return record


def _read_decoder(graph: _Reader) -> tuple[Floats, Floats]:
    """Return the addends of the gates: those of each token, [V, 4P], and the factors of the state, [P, 4P]."""
    lstm = graph.node_behind(graph.outputs[0], "LSTM")
    plain = attribute(lstm, "direction", b"forward") == b"forward"
    known = {given.name for given in lstm.attribute} <= _LSTM_ATTRIBUTES
    if not (plain and known) or attribute(lstm, "input_forget", 0) or attribute(lstm, "layout", 0):
        raise UnknownGraph("The decoder's LSTM is not a plain forward one.")
    x, w, r, b, lengths, h, c, peepholes = list(lstm.input) + [""] * (8 - len(lstm.input))
    if lengths or peepholes or [graph.source(h), graph.source(c)] != graph.inputs[1:3]:
        raise UnknownGraph("The decoder's LSTM does not start from the graph's inputs h and c.")
    gather = graph.node_behind(x, "Gather")
    embedding = graph.constant(gather.input[0])
    if graph.source(gather.input[1]) != graph.inputs[0] or embedding.ndim != 2:
        raise UnknownGraph("The decoder's LSTM does not read an embedding of the token x.")
    weight, recurrent = graph.constant(w), graph.constant(r)
    size = recurrent.shape[-1]
    bias = graph.constant(b).reshape(2, 4 * size).sum(axis=0) if b else np.zeros(4 * size, dtype=np.float32)
    if weight.shape != (1, 4 * size, embedding.shape[1]) or recurrent.shape != (1, 4 * size, size):
        raise UnknownGraph("The decoder's LSTM has weights of other sizes than its embedding and state.")
    halved = np.repeat(np.array([0.5, 0.5, 0.5, 1.0], dtype=np.float32), size)  # i, o, f: see WeightNetwork.predict
    return (embedding @ weight[0].T + bias) * halved, np.ascontiguousarray(recurrent[0].T) * halved


def _read_joint(graph: _Reader) -> tuple[_Linear, _Linear, _Linear]:
    """Return the projections of encoder frame and prediction, and the output layer."""
    softmax = graph.maker(graph.outputs[0], "LogSoftmax")
    output, hidden = graph.linear(softmax.input[0] if softmax is not None else graph.outputs[0])
    relu = graph.node_behind(hidden, "Relu")
    add = graph.node_behind(relu.input[0], "Add")
    branches = [graph.linear(name) for name in add.input]
    by_input = {graph.source(source): linear for linear, source in branches}
    if set(by_input) != set(graph.inputs) or len(graph.inputs) != 2:
        raise UnknownGraph("The joint does not add one projection of enc and one of dec.")
    enc, dec = ("enc", "dec") if set(graph.inputs) == {"enc", "dec"} else graph.inputs
    return by_input[enc], by_input[dec], output


def _cut_vocabulary(output: _Linear) -> tuple[Floats, Floats]:
    """Cut the output layer [J, V] into equal pieces [pieces, J, n], each a small product for a block of frames."""
    hidden, size = output.weight.shape
    longest = max(
        _PIECE_MULTIPLE, _SMALL_PRODUCT // (SEARCH_BLOCK_FRAMES * hidden) // _PIECE_MULTIPLE * _PIECE_MULTIPLE
    )
    pieces = -(-size // longest)
    length = -(-size // (pieces * _PIECE_MULTIPLE)) * _PIECE_MULTIPLE
    padding = (0, pieces * length - size)
    weight = np.pad(output.weight, ((0, 0), padding))
    bias = np.pad(output.bias, padding, constant_values=-np.inf)
    return weight.reshape(hidden, pieces, length).transpose(1, 0, 2), bias.reshape(pieces, length)


class _Linear(NamedTuple):
    """x @ weight + bias: float32 [in, out] and [out]."""

    weight: Floats
    bias: Floats


class _Reader:
    """A graph read backwards, from outputs to inputs; tidied, so that constants are weights."""

    def __init__(self, path: Path) -> None:
        graph = Graph.load(path)
        tidy(graph)
        self._links = Links(graph)
        self._weights = graph.weights
        self.inputs = [value.name for value in graph.inputs if value.name not in graph.weights]
        self.outputs = graph.output_names

    def source(self, name: str) -> str:
        """Follow a tensor back through nodes that leave its numbers as they are."""
        while (node := self._links.maker(name, *_SHAPE_ONLY)) is not None:
            name = node.input[0]
        return name

    def maker(self, name: str, *kinds: str) -> onnx.NodeProto | None:
        """Return the node of one of these kinds that makes a tensor, shapes apart."""
        return self._links.maker(self.source(name), *kinds)

    def node_behind(self, name: str, kind: str) -> onnx.NodeProto:
        """Return the node that makes a tensor, shapes apart; it must be of this kind."""
        node = self.maker(name)
        if node is None or node.op_type != kind:
            raise UnknownGraph(f"Expected {kind} behind {name}, but got {node.op_type if node else 'an input'}.")
        return node

    def constant(self, name: str) -> Floats:
        """Return a stored float32 tensor, transposed as the graph transposes it."""
        node = self._links.maker(name, "Transpose")
        if node is not None:
            return self.constant(node.input[0]).transpose(attribute(node, "perm"))
        value = self._weights.get(name)
        if value is None or value.dtype != np.float32:
            raise UnknownGraph(f"Expected stored float32 weights in {name}.")
        return value

    def linear(self, name: str) -> tuple[_Linear, str]:
        """Return the linear layer that makes a tensor, and the tensor it reads."""
        product, bias = self.maker(name, "Gemm"), None
        if product is not None:
            if [attribute(product, key, plain) for key, plain in _PLAIN_GEMM.items()] != list(_PLAIN_GEMM.values()):
                raise UnknownGraph(f"Expected a plain Gemm in {product.name}.")
            bias = self.constant(product.input[2]) if len(product.input) > 2 else None
        elif (add := self.maker(name, "Add")) is not None:
            stored = [number for number, operand in enumerate(add.input) if self.source(operand) in self._weights]
            if len(stored) != 1:
                raise UnknownGraph(f"Expected one stored bias in {add.name or name}.")
            bias, name = self.constant(add.input[stored[0]]), add.input[1 - stored[0]]
        product = product if product is not None else self.node_behind(name, "MatMul")
        weight = self.constant(product.input[1])
        weight = weight.T if attribute(product, "transB", 0) else weight
        bias = np.zeros(weight.shape[-1], dtype=np.float32) if bias is None else bias.reshape(-1)
        if weight.ndim != 2 or bias.size != weight.shape[1]:
            raise UnknownGraph(f"Expected a linear layer behind {name}.")
        return _Linear(weight, bias), product.input[0]
