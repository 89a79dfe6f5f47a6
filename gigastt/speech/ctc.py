"""Greedy CTC search: the best token of every frame, repetitions joined, blanks left out.

Called by the thread that owns the recogniser. It needs no state: a window that is not searched from its beginning shows
the frame before, which tells whether a token goes on there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gigastt.speech.search import token_probability
from gigastt.speech.tokens import SUBSAMPLING, EncoderOut, Hypothesis, SearchState, Token, Vocabulary
from gigastt.transcript import Options

_NOTHING = np.zeros(0, np.float32)


class CtcSearch:
    """The search over one vocabulary."""

    takes_hotwords = False

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

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
            encoder_out: scores, float32 [vocabulary, time], 40 ms per frame.
            first_frame: absolute feature frame (10 ms) at which frame 0 begins.
            skip: leading frames that are not searched.
            state, options: not needed.

        Returns:
            The tokens that begin at frames from `skip` on; a token's probability is its highest in the frames it lasts.

        Raises:
            InferenceError: the scores are not numbers.
        """
        best = encoder_out.argmax(axis=0).tolist()
        tokens: list[Token] = []
        for frame in range(skip, len(best)):
            token = best[frame]
            if token == self._vocabulary.blank_id:
                continue
            probability = token_probability(encoder_out[:, frame], token)
            if frame == 0 or best[frame - 1] != token:
                piece = self._vocabulary.pieces[token]
                tokens.append(Token(token, piece, first_frame + frame * SUBSAMPLING, probability))
            elif tokens and probability > tokens[-1].probability:
                tokens[-1] = replace(tokens[-1], probability=probability)
        states = (SearchState(token.id, _NOTHING, _NOTHING, _NOTHING) for token in tokens)
        return Hypothesis(tuple(tokens), tuple(states))
