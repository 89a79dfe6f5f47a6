"""The search without onnxruntime: predictor and joint computed from their weights, blocks of frames at a time.

`gigastt optimize` reads the weights out of the decoder and joint files once and writes them to one `.npy`
file beside them (`gigastt.optimize.search_writer`), which every worker maps, so that all share its pages.
It says whose weights it holds (SHA-256 of both files), and is compared with onnxruntime's results each time it
is loaded; where it is missing, belongs to other files or disagrees, the search runs the graphs instead.

    record  decoder_sha256, joint_sha256   64 hexadecimal digits each
            gates       [V, 4P]            what each token adds to the LSTM's gates, biases included
            recurrent   [P, 4P]            what the state h adds; gates in the order i, o, f, g; i, o, f halved
            encoder     [D, J]             joint: from an encoder frame
            prediction  [P, J]             joint: from the predictor's output
            hidden_bias [J]
            scores      [pieces, J, n]     joint: from its hidden layer, the vocabulary cut into equal pieces
            scores_bias [pieces, n]        padded with -inf

The vocabulary is cut because OpenBLAS multiplies small matrices in place but copies the whole of a larger
one each time, which for eight frames takes longer than the product itself.

Used by the thread that owns the recogniser. The mapped arrays are never written to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gigastt.speech.model import Floats, TripletFiles
from gigastt.speech.search import Emission, Frames, Network, token_probability
from gigastt.speech.tokens import EncoderOut, SearchState

HEADER_FIELDS = ("gates", "recurrent", "encoder", "prediction", "hidden_bias", "scores", "scores_bias")
SEARCH_BLOCK_FRAMES = 8
_FIRST_BLOCK_FRAMES = 4  # after a token the next one is near
_TRIAL_TOLERANCE = 1e-3
_TRIAL_FRAMES = 3


class SearchWeights:
    """The arrays of one file; immutable."""

    def __init__(self, record: npt.NDArray[np.void]) -> None:
        """Take a record of the layout above.

        Raises:
            ValueError: its fields or shapes are others.
        """
        self.gates: Floats = record["gates"]
        self.recurrent: Floats = record["recurrent"]
        self.encoder: Floats = record["encoder"]
        self.prediction: Floats = record["prediction"]
        self.hidden_bias: Floats = record["hidden_bias"]
        self.scores: Floats = record["scores"]
        self.scores_bias: Floats = record["scores_bias"]
        self.digests = (bytes(record["decoder_sha256"]).decode("ascii"), bytes(record["joint_sha256"]).decode("ascii"))
        self.vocabulary_size, gates = self.gates.shape
        self.state_size = gates // 4
        hidden = self.hidden_bias.shape[0]
        pieces, _, length = self.scores.shape
        fits = (
            self.recurrent.shape == (self.state_size, gates)
            and self.encoder.shape[1:] == (hidden,)
            and self.prediction.shape == (self.state_size, hidden)
            and self.scores.shape[1] == hidden
            and self.scores_bias.shape == (pieces, length)
            and self.vocabulary_size <= pieces * length
            and all(getattr(self, name).dtype == np.float32 for name in HEADER_FIELDS)
        )
        if not fits:
            raise ValueError("Expected search weights that fit each other.")

    @classmethod
    def load(cls, path: Path) -> SearchWeights:
        """Map a file.

        Raises:
            OSError: it cannot be read.
            ValueError: it is not such a file.
        """
        mapped = np.lib.format.open_memmap(path, mode="r")
        if mapped.shape != (1,) or mapped.dtype.names is None:
            raise ValueError("Expected one record in a file of search weights.")
        return cls(np.asarray(mapped)[0])


class WeightNetwork:
    """Predictor and joint by matrix products over blocks of frames."""

    def __init__(self, weights: SearchWeights) -> None:
        self._weights = weights
        self._blank_id = weights.vocabulary_size - 1
        self._zeros = np.zeros(weights.state_size, dtype=np.float32)

    def predict(self, token: int, state: SearchState | None) -> SearchState:
        """Advance the LSTM by one step."""
        size = self._weights.state_size
        if state is None:
            h, c = self._zeros, self._zeros
        else:
            h, c = state.h, state.c
        gates = np.matmul(h, self._weights.recurrent)
        gates += self._weights.gates[token]
        # i, o and f were halved when the file was made: sigmoid(x) = tanh(x / 2) / 2 + 1 / 2
        np.tanh(gates, out=gates)
        halves = gates[: 3 * size]
        halves *= np.float32(0.5)
        halves += np.float32(0.5)
        c_next = halves[2 * size :] * c
        c_next += halves[:size] * gates[3 * size :]
        h_next = np.tanh(c_next)
        h_next *= halves[size : 2 * size]
        return SearchState(token, h_next, h_next, c_next)

    def prepare(self, encoder_out: EncoderOut) -> Frames:
        """Compute the encoder's share of the joint for the whole window."""
        hidden = np.matmul(encoder_out.T, self._weights.encoder)
        hidden += self._weights.hidden_bias
        return _WeightFrames(self._weights, self._blank_id, hidden)


class _WeightFrames:
    block = _FIRST_BLOCK_FRAMES

    def __init__(self, weights: SearchWeights, blank_id: int, hidden: Floats) -> None:
        self._weights = weights
        self._blank_id = blank_id
        self._hidden = hidden  # [time, J]
        pieces, _, length = weights.scores.shape
        self._scores = np.empty((SEARCH_BLOCK_FRAMES, pieces, length), dtype=np.float32)

    def find(self, first: int, state: SearchState) -> Emission | None:
        time = len(self._hidden)
        predicted = np.matmul(state.dec, self._weights.prediction)
        begin, block = first, _FIRST_BLOCK_FRAMES
        while begin < time:
            end = min(time, begin + block)
            scores = self._score(begin, end, predicted)
            for row, token in enumerate(scores.argmax(axis=1).tolist()):
                if token != self._blank_id:
                    return Emission(begin + row, token, token_probability(scores[row], token))
            begin, block = end, SEARCH_BLOCK_FRAMES
        return None

    def __len__(self) -> int:
        return len(self._hidden)

    def score_all(self, begin: int, end: int, states: Sequence[SearchState]) -> Floats:
        predicted = np.matmul(np.stack([state.dec for state in states]), self._weights.prediction)
        hidden = self._hidden[None, begin:end] + predicted[:, None]
        np.maximum(hidden, np.float32(0), out=hidden)
        pieces, _, length = self._weights.scores.shape
        scores = np.empty((len(states) * (end - begin), pieces, length), dtype=np.float32)
        np.matmul(hidden.reshape(len(scores), -1), self._weights.scores, out=scores.transpose(1, 0, 2))
        scores += self._weights.scores_bias
        return scores.reshape(len(states), end - begin, -1)[:, :, : self._weights.vocabulary_size]

    def score(self, frame: int, state: SearchState) -> Floats:
        scores = self._score(frame, frame + 1, np.matmul(state.dec, self._weights.prediction))
        return scores[0, : self._weights.vocabulary_size].copy()

    def _score(self, begin: int, end: int, predicted: Floats) -> Floats:
        """Return the scores of some frames, [frames, pieces * n], in a buffer that the next call overwrites."""
        hidden = self._hidden[begin:end] + predicted
        np.maximum(hidden, np.float32(0), out=hidden)
        scores = self._scores[: end - begin]
        np.matmul(hidden, self._weights.scores, out=scores.transpose(1, 0, 2))
        scores += self._weights.scores_bias
        return scores.reshape(end - begin, -1)


def choose_network(files: TripletFiles, graphs: Network, encoder_dim: int) -> Network:
    """Return the network of the weights file where there is a sound one, and else `graphs`."""
    try:
        weights = SearchWeights.load(files.search_weights)
    except (OSError, ValueError):
        return graphs
    if (
        weights.digests != (weights_sha256(files.decoder), weights_sha256(files.joint))
        or len(weights.encoder) != encoder_dim
    ):
        return graphs
    network = WeightNetwork(weights)
    return network if agree(network, graphs, encoder_dim, weights.vocabulary_size) else graphs


def agree(one: Network, other: Network, encoder_dim: int, vocabulary_size: int) -> bool:
    """Tell whether two networks compute the same from the same: states and normalised scores within 0.001."""
    random = np.random.default_rng(0)
    frames = random.standard_normal((encoder_dim, _TRIAL_FRAMES)).astype(np.float32)
    one_frames, other_frames = one.prepare(frames), other.prepare(frames)
    state: SearchState | None = None
    for token in (vocabulary_size - 1, 0, vocabulary_size // 2, vocabulary_size - 2):
        one_state, other_state = one.predict(token, state), other.predict(token, state)
        if not all(_close(getattr(one_state, name), getattr(other_state, name)) for name in ("dec", "h", "c")):
            return False
        for frame in range(_TRIAL_FRAMES):
            if not _close(*(_normalise(each.score(frame, other_state)) for each in (one_frames, other_frames))):
                return False
        state = other_state
    return True


def weights_sha256(path: Path) -> str:
    """Return the digest of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _close(one: Floats, other: Floats) -> bool:
    return one.shape == other.shape and bool(np.abs(one - other).max(initial=0.0) < _TRIAL_TOLERANCE)


def _normalise(scores: Floats) -> Floats:
    """Return log-probabilities, whether the joint gave logits or log-probabilities."""
    shifted = scores - scores.max()
    normalised: Floats = shifted - np.log(np.exp(shifted).sum())
    return normalised
