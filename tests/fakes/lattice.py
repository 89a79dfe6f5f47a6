"""A network whose scores are written down: at which frame, behind which token, what comes next and how likely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gigastt.speech.model import Floats
from gigastt.speech.search import Emission, token_probability
from gigastt.speech.tokens import EncoderOut, SearchState, Vocabulary

Lattice = Mapping[tuple[int, str], Mapping[str, float]]  # (frame, last piece, "" at the start) → likelihoods
_SELDOM = 1e-9


@dataclass
class LatticeNetwork:
    """What is not written down is blank."""

    lattice: Lattice
    vocabulary: Vocabulary

    def predict(self, token: int, state: SearchState | None) -> SearchState:
        last = np.full(1, token, np.float32)
        return SearchState(token, last, last, last)

    def prepare(self, encoder_out: EncoderOut) -> LatticeFrames:
        return LatticeFrames(self, encoder_out.shape[1])


@dataclass
class LatticeFrames:
    network: LatticeNetwork
    count: int
    block: int = 3

    def __len__(self) -> int:
        return self.count

    def score(self, frame: int, state: SearchState) -> Floats:
        pieces = self.network.vocabulary.pieces
        last = "" if state.token == len(pieces) - 1 else pieces[state.token]
        told = self.network.lattice.get((frame, last), {})
        likelihoods = np.full(len(pieces), _SELDOM, np.float32)
        for piece, likelihood in told.items():
            likelihoods[pieces.index(piece)] = likelihood
        likelihoods[-1] = max(_SELDOM, 1.0 - sum(told.values()))
        scores: Floats = np.log(likelihoods)
        return scores

    def score_all(self, begin: int, end: int, states: Sequence[SearchState]) -> Floats:
        return np.stack([[self.score(frame, state) for frame in range(begin, end)] for state in states])

    def find(self, first: int, state: SearchState) -> Emission | None:
        for frame in range(first, self.count):
            scores = self.score(frame, state)
            if (token := int(scores.argmax())) != len(scores) - 1:
                return Emission(frame, token, token_probability(scores, token))
        return None
