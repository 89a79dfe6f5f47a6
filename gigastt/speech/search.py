"""Greedy RNN-T search: encoder frames in, tokens with times and probabilities out.

The predictor runs only where a token was emitted; between two tokens only the joint's view of the next
frames is needed, so the network behind the search is asked one question: where, from this frame on, is the
next frame whose best token is not blank? `RunNetwork` answers with onnxruntime runs, one per frame;
`gigastt.speech.mapped_search` answers with matrix products over blocks of frames.

Called by the thread that owns the recogniser.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gigastt.errors import InferenceError
from gigastt.speech.model import Decoder, Floats, Joint
from gigastt.speech.tokens import SUBSAMPLING, EncoderOut, Hypothesis, SearchState, Token
from gigastt.speech.vocabulary import Vocabulary

MAX_SYMBOLS = 3  # tokens that one encoder frame may emit, where the model does not say otherwise


@dataclass(frozen=True, slots=True)
class Emission:
    """The next token: its encoder frame, its id, and its probability under the joint's softmax."""

    frame: int
    token: int
    probability: float


class Frames(Protocol):
    """One window's encoder frames, prepared for being asked about."""

    def find(self, first: int, state: SearchState) -> Emission | None:
        """Return the first emission at or after frame `first`; None where blanks go on to the end."""
        ...

    def score(self, frame: int, state: SearchState) -> Floats:
        """Return the scores [V] of one frame: logits or log-probabilities."""
        ...


class Network(Protocol):
    """Predictor and joint as the search uses them."""

    def predict(self, token: int, state: SearchState | None) -> SearchState:
        """Advance the predictor over one token; from the zero state where `state` is None."""
        ...

    def prepare(self, encoder_out: EncoderOut) -> Frames:
        """Make ready to search float32 [dim, time]."""
        ...


class Transducer:
    """The greedy search over one network."""

    def __init__(self, network: Network, vocabulary: Vocabulary, *, max_symbols: int = MAX_SYMBOLS) -> None:
        self._network = network
        self._vocabulary = vocabulary
        self._max_symbols = max_symbols

    def search(
        self, encoder_out: EncoderOut, first_frame: int = 0, skip: int = 0, state: SearchState | None = None
    ) -> Hypothesis:
        """Search one window.

        Args:
            encoder_out: float32 [dim, time], 40 ms per frame.
            first_frame: absolute feature frame (10 ms) at which encoder frame 0 begins.
            skip: leading encoder frames that are not searched.
            state: where the search stood before; None for an empty history.

        Returns:
            The tokens emitted at frames from `skip` on, and the state after each.

        Raises:
            InferenceError: onnxruntime refused a step.
        """
        searched = encoder_out[:, skip:]
        time = searched.shape[1]
        tokens: list[Token] = []
        states: list[SearchState] = []
        if state is None:
            state = self._network.predict(self._vocabulary.blank_id, None)
        frames = self._network.prepare(searched)
        at, symbols = 0, 0
        while at < time:
            # 1. the next frame whose best token is not blank
            emission = frames.find(at, state)
            if emission is None:
                break
            symbols = symbols + 1 if emission.frame == at else 1
            at = emission.frame
            # 2. advance the predictor over that token
            state = self._network.predict(emission.token, state)
            frame = first_frame + (skip + at) * SUBSAMPLING
            tokens.append(Token(emission.token, self._vocabulary.pieces[emission.token], frame, emission.probability))
            states.append(state)
            # 3. stay on the frame, unless it has emitted all it may
            if symbols == self._max_symbols:
                at, symbols = at + 1, 0
        return Hypothesis(tuple(tokens), tuple(states))


class RunNetwork:
    """Predictor and joint by onnxruntime runs: works for every model that fits the contract."""

    def __init__(self, decoder: Decoder, joint: Joint) -> None:
        self._decoder = decoder
        self._joint = joint
        self._zeros = np.zeros(decoder.state_size, dtype=np.float32)

    def predict(self, token: int, state: SearchState | None) -> SearchState:
        h, c = (self._zeros, self._zeros) if state is None else (state.h, state.c)
        prediction = self._decoder.predict(token, h, c)
        return SearchState(token, prediction.dec, prediction.h, prediction.c)

    def prepare(self, encoder_out: EncoderOut) -> Frames:
        return _RunFrames(self._joint, np.ascontiguousarray(encoder_out.T))


class _RunFrames:
    def __init__(self, joint: Joint, frames: Floats) -> None:
        self._joint = joint
        self._frames = frames  # [time, dim]

    def find(self, first: int, state: SearchState) -> Emission | None:
        blank_id = self._joint.vocabulary_size - 1
        for frame in range(first, len(self._frames)):
            scores = self.score(frame, state)
            token = int(scores.argmax())
            if token != blank_id:
                return Emission(frame, token, token_probability(scores, token))
        return None

    def score(self, frame: int, state: SearchState) -> Floats:
        return self._joint.join(self._frames[frame], state.dec)


def token_probability(scores: Floats, token: int) -> float:
    """Return a token's probability; `scores` [V] may be logits or log-probabilities.

    Raises:
        InferenceError: the scores are not numbers, as an overflow inside the model makes them.
    """
    with np.errstate(all="ignore"):
        probability = 1.0 / float(np.exp(scores - scores[token]).sum())
    if not 0.0 < probability <= 1.0:
        raise InferenceError("Expected finite scores from the joint, but got NaN or infinity.")
    return probability
