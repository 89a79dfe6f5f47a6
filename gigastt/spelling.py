"""Spelling: what was said without punctuation or capitals, where somebody wants it bare.

Pure, and word by word: a word that will not change any more does not change here either. Words keep their times and
confidences; a word of punctuation alone goes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, TypeVar

from gigastt.transcript import Alternative, Final, HeardSpeakers, Partial, Transcript, Word

Casing: TypeAlias = Literal["original", "lower"]
Told = TypeVar("Told")

_INSIDE_WORDS = "-'’"
_OFTEN_AROUND = ".,!?…:;«»—"


@dataclass(frozen=True, slots=True)
class Spelling:
    """How words are written.

    punctuation: keep it; without it hyphens and apostrophes inside words stay, and signs between two digits.
    casing: as the recogniser writes it, or in lower case.
    """

    punctuation: bool = True
    casing: Casing = "original"

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
                text, words, dropped = self.spell(told.text), self._words(told.words), self._words(told.dropped)
                alternatives = tuple(map(self._alternative, told.alternatives))
                spelled = replace(told, text=text, words=words, dropped=dropped, alternatives=alternatives)
            case Partial():
                stable, rest = self._words(told.words[: told.stable]), self._words(told.words[told.stable :])
                spelled = replace(told, text=self.spell(told.text), words=stable + rest, stable=len(stable))
            case HeardSpeakers():
                spelled = replace(told, words=self._words(told.words))
            case Transcript():
                finals, dropped_finals = self._finals(told.finals), list(map(self.of, told.dropped))
                spelled = replace(told, finals=finals, dropped=dropped_finals, speakers=self.of(told.speakers))
        assert isinstance(spelled, type(told))
        return spelled

    def _alternative(self, told: Alternative) -> Alternative:
        return replace(told, text=self.spell(told.text), words=self._words(told.words))

    def _words(self, words: Iterable[Word]) -> tuple[Word, ...]:
        return tuple(replace(word, text=text) for word in words if (text := self.spell(word.text)))

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
