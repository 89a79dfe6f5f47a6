"""Spelling: what was said without punctuation or capitals, or with figures for numbers, where somebody wants that.

Pure, and within an utterance: its words that will not change any more do not change here either. Words keep their times
and confidences; a word of punctuation alone goes, and the words of a number become one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, TypeVar

from gigastt.numerals import closed_words, write_figures
from gigastt.transcript import Alternative, Final, HeardSpeakers, Partial, Transcript, Word

Casing: TypeAlias = Literal["original", "lower"]
Numbers: TypeAlias = Literal["words", "digits"]
Told = TypeVar("Told")

_INSIDE_WORDS = "-'’"
_OFTEN_AROUND = ".,!?…:;«»—"


@dataclass(frozen=True, slots=True)
class Spelling:
    """How words are written.

    punctuation: keep it; without it hyphens and apostrophes inside words stay, and signs between two digits.
    casing: as the recogniser writes it, or in lower case.
    numbers: as the recogniser writes them, or spoken numerals in figures.
    """

    punctuation: bool = True
    casing: Casing = "original"
    numbers: Numbers = "words"

    def spell(self, text: str) -> str:
        """Return a text or a word so; of punctuation alone nothing may be left."""
        if self.casing == "lower":
            text = text.lower()
        return text if self.punctuation else " ".join(filter(None, map(_bare, text.split())))

    def of(self, told: Told) -> Told:
        """Return anything that is told of an utterance, a session or a file with its words so."""
        if self == AS_RECOGNISED:
            return told
        spelled: object = told
        match told:
            case Final():
                words, dropped = self._words(told.words), self._words(told.dropped)
                text, alternatives = self._text(told, words), self._alternatives(told.alternatives)
                spelled = replace(told, text=text, words=words, dropped=dropped, alternatives=alternatives)
            case Partial():
                words, stable = self._words(told.words), len(self._words(self._closed(told)))
                spelled = replace(told, text=self._text(told, words), words=words, stable=stable)
            case HeardSpeakers():
                spelled = replace(told, finals=tuple(map(self._words, told.finals)))
            case Transcript():
                finals, dropped_finals = self._finals(told.finals), list(map(self.of, told.dropped))
                spelled = replace(told, finals=finals, dropped=dropped_finals, speakers=self.of(told.speakers))
        assert isinstance(spelled, type(told))
        return spelled

    def _alternatives(self, told: Sequence[Alternative]) -> tuple[Alternative, ...]:
        """Return them so, each wording once: two may be the same in figures."""
        spelled: dict[str, Alternative] = {}
        for one in told:
            words = self._words(one.words)
            text = self._text(one, words)
            spelled.setdefault(text, replace(one, text=text, words=words))
        return tuple(spelled.values())

    def _words(self, words: Sequence[Word]) -> tuple[Word, ...]:
        if self.numbers == "digits":
            words = write_figures(words)
        return tuple(replace(word, text=text) for word in words if (text := self.spell(word.text)))

    def _text(self, told: Final | Partial | Alternative, words: Sequence[Word]) -> str:
        return " ".join(word.text for word in words) if self.numbers == "digits" else self.spell(told.text)

    def _closed(self, partial: Partial) -> Sequence[Word]:
        """Return the stable words that are written so whatever follows: a number at their end may grow."""
        stable = partial.words[: partial.stable]
        return stable[: closed_words(stable)] if self.numbers == "digits" else stable

    def _finals(self, finals: Sequence[Final]) -> list[Final]:
        return [spelled for final in finals if (spelled := self.of(final)).text]


AS_RECOGNISED = Spelling()
PLAIN = Spelling(punctuation=False, casing="lower")  # as the protocols of other recognisers have it


def _bare(word: str) -> str:
    word = word.strip(_OFTEN_AROUND)
    if word.isalnum():  # nearly always
        return word
    kept = (letter for at, letter in enumerate(word) if _stays(word, at))
    return "".join(kept).strip(_INSIDE_WORDS)


def _stays(word: str, at: int) -> bool:
    if word[at] in _INSIDE_WORDS or not unicodedata.category(word[at]).startswith("P"):
        return True
    return 0 < at < len(word) - 1 and word[at - 1].isdigit() and word[at + 1].isdigit()
