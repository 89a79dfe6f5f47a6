"""The draft of a growing utterance: which of its words will not change any more.

Owned by one stream while an utterance is open. Pure: token sequences and frames in, words out; knows nothing
of audio or passes. Frames are absolute feature frames of 10 ms.

Words that several passes agree on, and that end well before the audio does, become stable. From then on they
are not searched again: every later pass begins its search behind them with the search state that they left,
so no later partial can change them.
"""

from __future__ import annotations

from dataclasses import dataclass

from gigastt.speech.hypothesis import SUBSAMPLING, WORD_START, Hypothesis, SearchState, Token, Word, group_words

SETTLED_FRAMES = 60  # a word that ends so long before the audio does may become stable
AGREEMENT_FRAMES = 16  # passes count as two only if their audio ends so far apart


@dataclass(frozen=True, slots=True)
class PartialResult:
    """The utterance so far; its first `stable` words will not change in a later partial."""

    text: str
    words: tuple[Word, ...]
    stable: int


class Draft:
    """What is known of the open utterance.

    Args:
        start: its first frame.
    """

    def __init__(self, start: int) -> None:
        self.searched_to = start  # everything before is settled; a multiple of 4
        self.state: SearchState | None = None
        self._stable: tuple[Token, ...] = ()
        self._words: tuple[Word, ...] = ()
        self._last: list[list[Token]] = []  # words of the last pass, not settled
        self._last_end = start

    def update(self, hypothesis: Hypothesis, end: int) -> PartialResult | None:
        """Take the result of a pass.

        Args:
            hypothesis: searched from `searched_to`, or from the utterance's start.
            end: the frame at which the pass's audio ended.

        Returns:
            The draft now; None when its words are as they were.
        """
        fresh = [
            (token, state)
            for token, state in zip(hypothesis.tokens, hypothesis.states, strict=True)
            if token.frame >= self.searched_to
        ]
        words = _split([token for token, _ in fresh])
        if end - self._last_end >= AGREEMENT_FRAMES:
            self._settle(words, {id(token): state for token, state in fresh}, end)
            self._last_end = end
        stable = len(group_words(self._stable))
        shown = group_words(self._stable + tuple(token for word in self._last for token in word))
        if shown == self._words:
            return None
        self._words = shown
        return PartialResult(" ".join(word.text for word in shown), shown, stable)

    def _settle(self, words: list[list[Token]], states: dict[int, SearchState], end: int) -> None:
        count = 0
        for before, now in zip(self._last, words, strict=False):
            same = [token.id for token in before] == [token.id for token in now]
            if not same or now[-1].frame + SUBSAMPLING > end - SETTLED_FRAMES:
                break
            count += 1
        if count == len(words):
            count -= 1  # the last word may still grow
        for word in words[: max(0, count)]:
            self._stable += tuple(word)
            self.state = states[id(word[-1])]
            self.searched_to = word[-1].frame + SUBSAMPLING
        self._last = words[max(0, count) :]


def _split(tokens: list[Token]) -> list[list[Token]]:
    words: list[list[Token]] = []
    for token in tokens:
        if not words or token.piece.startswith(WORD_START):
            words.append([])
        words[-1].append(token)
    return words
