"""Greedy RNN-T search: encoder frames in, tokens with times and probabilities out.

The predictor runs only where a token was emitted; between two tokens only the joint's view of the next
frames is needed, so the network behind the search is asked one question: where, from this frame on, is the
next frame whose best token is not blank? `RunNetwork` answers with onnxruntime runs, one per frame;
`gigastt.speech.mapped_search` answers with matrix products over blocks of frames.

Called by the thread that owns the recogniser.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from gigastt.errors import InferenceError
from gigastt.hotwords import fold
from gigastt.speech.alternatives import find_alternatives
from gigastt.speech.model import Decoder, Floats, Joint
from gigastt.speech.phrases import Phrases, spell_pieces
from gigastt.speech.preference import prefer
from gigastt.speech.token_tree import Predictor, ScoredFrames, TokenTree
from gigastt.speech.tokens import SUBSAMPLING, EncoderOut, Hypothesis, SearchState, Token, Vocabulary, join_pieces
from gigastt.transcript import Hotword, Options

_MOST_LISTS = 8  # of hotwords, made ready

MAX_SYMBOLS = 3  # tokens that one encoder frame may emit, where the model does not say otherwise


@dataclass(frozen=True, slots=True)
class Emission:
    """The next token: its encoder frame, its id, and its probability under the joint's softmax."""

    frame: int
    token: int
    probability: float


class Frames(ScoredFrames, Protocol):
    """One window's encoder frames, prepared for being asked about."""

    def find(self, first: int, state: SearchState) -> Emission | None:
        """Return the first emission at or after frame `first`; None where blanks go on to the end."""
        ...

    def score(self, frame: int, state: SearchState) -> Floats:
        """Return the scores [V] of one frame: logits or log-probabilities."""
        ...


class Network(Predictor, Protocol):
    """Predictor and joint as the search uses them."""

    def predict(self, token: int, state: SearchState | None) -> SearchState:
        """Advance the predictor over one token; from the zero state where `state` is None."""
        ...

    def prepare(self, encoder_out: EncoderOut) -> Frames:
        """Make ready to search float32 [dim, time]."""
        ...


class Transducer:
    """The search over one network: greedy, and a beam for those who want more.

    Args:
        hotwords: that every final prefers, besides those of its client.
    """

    takes_hotwords = True

    def __init__(
        self,
        network: Network,
        vocabulary: Vocabulary,
        *,
        max_symbols: int = MAX_SYMBOLS,
        hotwords: tuple[Hotword, ...] = (),
    ) -> None:
        self._network = network
        self._vocabulary = vocabulary
        self._max_symbols = max_symbols
        self._hotwords = hotwords
        self._texts = tuple(spell_pieces(vocabulary.pieces))
        self._lists: dict[tuple[Hotword, ...], Phrases] = {}

    def search(
        self,
        encoder_out: EncoderOut,
        first_frame: int = 0,
        skip: int = 0,
        state: SearchState | None = None,
        options: Options | None = None,
    ) -> Hypothesis:
        """Search one window.

        Args:
            encoder_out: float32 [dim, time], 40 ms per frame.
            first_frame: absolute feature frame (10 ms) at which encoder frame 0 begins.
            skip: leading encoder frames that are not searched.
            state: where the search stood before; None for an empty history.
            options: what is wanted of a final; None where this is none.

        Returns:
            The tokens emitted at frames from `skip` on, and the state after each.

        Raises:
            InferenceError: onnxruntime refused a step.
        """
        searched = encoder_out[:, skip:]
        time, first_frame = searched.shape[1], first_frame + skip * SUBSAMPLING
        tokens: list[Token] = []
        states: list[SearchState] = []
        if state is None:
            state = self._network.predict(self._vocabulary.blank_id, None)
        start, frames = state, self._network.prepare(searched)
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
            frame = first_frame + at * SUBSAMPLING
            tokens.append(Token(emission.token, self._vocabulary.pieces[emission.token], frame, emission.probability))
            states.append(state)
            # 3. stay on the frame, unless it has emitted all it may
            if symbols == self._max_symbols:
                at, symbols = at + 1, 0
        greedy = Hypothesis(tuple(tokens), tuple(states))
        if options is None or not tokens:  # where nothing is heard, nothing was said
            return greedy
        tree = TokenTree(self._network, frames, start, self._vocabulary, self._texts)
        return self._add_alternatives(
            self._prefer_hotwords(greedy, tree, first_frame, options), tree, first_frame, options
        )

    def _prefer_hotwords(self, greedy: Hypothesis, tree: TokenTree, first_frame: int, options: Options) -> Hypothesis:
        hotwords = self._hotwords + options.hotwords
        if not hotwords:
            return greedy
        phrases = self._lists.pop(hotwords, None)
        if phrases is None or phrases.is_full:
            phrases = Phrases(hotwords, self._vocabulary.pieces)
        self._lists[hotwords] = phrases
        if len(self._lists) > _MOST_LISTS:
            del self._lists[next(iter(self._lists))]
        preferred = prefer(tree, greedy, phrases, first_frame, self._max_symbols)
        return preferred if preferred is greedy else replace(preferred, greedy=greedy.tokens)

    def _add_alternatives(self, best: Hypothesis, tree: TokenTree, first_frame: int, options: Options) -> Hypothesis:
        """Add what may have been said: the best hypothesis, and others in other words than that and each other."""
        if options.most_alternatives < 2:
            return best
        found = find_alternatives(tree, options.most_alternatives, self._max_symbols)
        others = {_wording(one): one for one in (tree.hypothesis(last, first_frame) for last in reversed(found))}
        others.pop("", None), others.pop(_wording(best), None)
        return replace(best, alternatives=(best, *reversed(others.values()))[: options.most_alternatives])


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
    block = 1  # each run scores one

    def __init__(self, joint: Joint, frames: Floats) -> None:
        self._joint = joint
        self._frames = frames  # [time, dim]

    def __len__(self) -> int:
        return len(self._frames)

    def score_all(self, begin: int, end: int, states: Sequence[SearchState]) -> Floats:
        return np.stack([[self.score(frame, state) for frame in range(begin, end)] for state in states])

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


def _wording(hypothesis: Hypothesis) -> str:
    return " ".join(fold(join_pieces([token.piece for token in hypothesis.tokens])).split())


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
