"""The draft of a growing utterance: which of its words will not change any more.

Owned by one stream while an utterance is open. Pure: token sequences and frames in, words out.
Frames are absolute feature frames of 10 ms.

Words that passes agree on over 0.6 s of new audio, and that end well before the audio does, become stable, doubtful
ones later; in the silence of an utterance's tail all words do: if it goes on, that pass is the final.
From then on they are not searched again: every later pass begins its search behind them with the search state
that they left, so no later partial can change them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gigastt.speech.tokens import SUBSAMPLING, Hypothesis, SearchState, Token, begins_word, group_words
from gigastt.transcript import Drop, Partial, Word

SETTLED_FRAMES = 80  # a word that ends so long before the audio does may become stable
AGREEMENT_FRAMES = 60  # passes must agree on it while so much audio was added
DOUBTFUL = 0.9  # a word with a token less probable
DOUBTFUL_FRAMES = 160  # needs so much of both
LIKELY = 0.5  # confidence of the surest word with which an utterance is first shown
SURE = 0.9  # the same, with which an utterance that the detector doubts is believed


def judge(words: Sequence[Word], *, is_clear: bool, min_confidence: float) -> Drop:
    """Return why the words of an utterance are left out; empty where they are told.

    Music, keys and tones that pass the detector make a recogniser guess at a word or two without conviction. Words
    of an utterance that the detector is sure of are never left out, unless somebody asks for `min_confidence`.

    Args:
        is_clear: whether the detector had no doubt of the utterance.
        min_confidence: least confidence of the surest word, for every utterance; 0 for any.
    """
    surest = max((word.confidence for word in words), default=0.0)
    if not words:
        return ""
    if not is_clear and surest < SURE:
        return "doubtful"
    return "min_confidence" if surest < min_confidence else ""


@dataclass(frozen=True, slots=True)
class _Heard:
    """A word of the last pass that is not stable.

    state: of the search after its last token.
    since: where the audio ended when it was first heard so.
    """

    tokens: tuple[Token, ...]
    state: SearchState
    since: int

    @property
    def end(self) -> int:
        return self.tokens[-1].frame + SUBSAMPLING

    @property
    def is_doubtful(self) -> bool:
        return min(token.probability for token in self.tokens) < DOUBTFUL

    def is_like(self, other: _Heard) -> bool:
        return [token.id for token in self.tokens] == [token.id for token in other.tokens]


class Draft:
    """The words of the open utterance so far.

    Args:
        start: its first frame.
    """

    def __init__(self, start: int) -> None:
        self.searched_to = start  # everything before is settled; a multiple of 4
        self.complete_to = start  # words before it were heard whole: they will hardly be heard otherwise
        self.state: SearchState | None = None
        self._stable: tuple[Token, ...] = ()
        self._heard: list[_Heard] = []
        self._shown = Partial("", (), 0)

    @property
    def is_wordless(self) -> bool:
        """Whether no pass has heard a word yet."""
        return not self._shown.words

    def update(self, hypothesis: Hypothesis, end: int, *, silent: bool = False) -> Partial | None:
        """Take the result of a pass.

        Args:
            hypothesis: searched from `searched_to`, or from the utterance's start.
            end: the frame at which the pass's audio ended.
            silent: whether that audio ended with the silence of an utterance's tail.

        Returns:
            The draft now; None when it is as it was.
        """
        self._heard = self._compare(self._split(hypothesis, end))
        self.complete_to = max(self.complete_to, end - SETTLED_FRAMES)
        if self.is_wordless and not any(word.confidence >= LIKELY for word in self._words()):
            return None
        self._settle(end, silent)
        words = self._words()
        result = Partial(" ".join(word.text for word in words), words, len(group_words(self._stable)))
        if self._shown == result:
            return None
        self._shown = result
        return result

    def _words(self) -> tuple[Word, ...]:
        return group_words(self._stable + tuple(token for word in self._heard for token in word.tokens))

    def settle_before(self, frame: int) -> None:
        """Search nothing before `frame` again: words that end there become stable, agreed on or not."""
        self._keep(sum(word.end <= frame for word in self._heard))
        first = self._heard[0].tokens[0].frame if self._heard else frame
        self.searched_to = max(self.searched_to, min(frame, first))

    def _split(self, hypothesis: Hypothesis, end: int) -> list[_Heard]:
        """Group what lies behind the stable words into words; what would lengthen the last of them is dropped."""
        words: list[_Heard] = []
        for token, state in zip(hypothesis.tokens, hypothesis.states, strict=True):
            if token.frame < self.searched_to:
                continue
            before = words[-1].tokens[-1] if words else self._stable[-1] if self._stable else None
            if begins_word(token, before):
                words.append(_Heard((token,), state, end))
            elif words:
                words[-1] = _Heard((*words[-1].tokens, token), state, end)
        return words

    def _compare(self, words: list[_Heard]) -> list[_Heard]:
        """Carry over since when the leading words have been heard, up to the first that is new."""
        for number, before in enumerate(self._heard[: len(words)]):
            word = words[number]
            if not word.is_like(before):
                break
            words[number] = _Heard(word.tokens, word.state, before.since)
        return words

    def _settle(self, end: int, silent: bool) -> None:
        count = 0
        for word in self._heard if silent else self._heard[:-1]:  # amid speech the last word may still grow
            agreement, settled = AGREEMENT_FRAMES, SETTLED_FRAMES
            if word.is_doubtful:
                agreement = settled = DOUBTFUL_FRAMES
            if not silent and (end - word.since < agreement or end - word.end < settled):
                break
            count += 1
        self._keep(count)

    def _keep(self, count: int) -> None:
        """Make the first words heard stable."""
        for word in self._heard[:count]:
            self._stable += word.tokens
            self.state = word.state
            self.searched_to = word.end
        del self._heard[:count]
