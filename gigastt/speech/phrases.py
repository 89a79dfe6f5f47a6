"""Phrases: which of the words that a client expects a hypothesis is spelling, and what that is worth.

An automaton over text in small letters without punctuation, `ё` being `е`. A phrase begins where a word begins and ends
where one ends. Of a Russian word the stem counts, any ending of nouns and adjectives may follow. A hypothesis is
credited with a part of a phrase while it spells it, and loses all of that with the first letter that is another one: a
credit is a function of where it stands, so nothing has to be paid back. Pure; its states are computed once, as they
come.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from gigastt.hotwords import fold
from gigastt.speech.tokens import WORD_START
from gigastt.transcript import Hotword

LETTER_CREDIT = 0.8  # of a phrase of weight 1, for each letter that it must have but two, in natural logarithms
MOST_CREDIT = 6.0  # of a whole phrase of weight 1
_SPECIAL = re.compile("<.+>")  # <unk>, <blk>, and bytes of other letters
_MOST_STEPS = 20_000  # that are remembered, some 5 MB
_LEAST_STEM = 3
_LEAST_INFLECTED = 4
_LEMMA_ENDINGS = ("ия", "ие", "ий", "ый", "ой", "ая", "яя", "ое", "ее", "ые", *"аяоейьиыую")
_ENDINGS = frozenset(
    re.findall(
        r"\w+",
        "а я о е ы и у ю й ь ой ей ою ею ом ем ам ям ами ями ах ях ов ев ий ый ое ее ие ые ая яя ую юю его ого ему ому "
        "им ым ими ыми их ых ии ию ия ью ией иям иях иями",
    )
)
_ENDING_PARTS = frozenset(ending[:length] for ending in _ENDINGS for length in (1, 2, 3, 4) if length <= len(ending))

_Item: TypeAlias = tuple[int, str | None]  # a node, and what follows its stem; None while that is not complete
_State: TypeAlias = tuple[bool, tuple[_Item, ...]]  # whether amid a word, and where


@dataclass(slots=True)
class _Node:
    """A point within phrases.

    after: the node behind the word that may end here; -1 for none.
    inflects: whether endings may come before.
    credit: of what leads here, in the best of the phrases that go on.
    worth: of the phrase that is complete here; 0 where none is.
    words: of the longest phrase that is complete here.
    """

    children: dict[str, int] = field(default_factory=dict)
    after: int = -1
    inflects: bool = False
    credit: float = 0.0
    worth: float = 0.0
    words: int = 0


@dataclass(frozen=True, slots=True)
class Advance:
    """The state behind a token, what a hypothesis there is credited with, and the worth of a phrase made complete."""

    state: int
    credit: float
    gain: float


class Phrases:
    """The automaton of one list, over one vocabulary.

    Args:
        hotwords: the phrases; those without a letter are left out.
        pieces: of the vocabulary.

    Attributes:
        word_start: the token that only begins a word; -1 where there is none.
        idle: the state amid a word that is part of no phrase.
        openings: the tokens with which a hypothesis in this state may turn to a phrase, bool [V].
    """

    START = 0  # the state before all text

    def __init__(self, hotwords: Iterable[Hotword], pieces: Sequence[str]) -> None:
        self.word_start = pieces.index(WORD_START) if WORD_START in pieces else -1
        self._nodes = [_Node()]
        self._texts = tuple(spell_pieces(pieces))
        for hotword in hotwords:
            self._add(fold(hotword.phrase).split(), hotword.weight)
        self._states: list[_State] = []
        self._numbers: dict[_State, int] = {}
        self._steps: dict[tuple[int, int], Advance] = {}
        self._number((False, ()))
        self.idle = self._number((True, ()))
        self.openings = np.array([self.advance(self.idle, token).credit > 0 for token in range(len(pieces))])
        if self.word_start >= 0:
            self.openings[self.word_start] = True

    @property
    def is_full(self) -> bool:
        """Whether it remembers so much that it should be made anew."""
        return len(self._steps) > _MOST_STEPS

    def advance(self, state: int, token: int) -> Advance:
        """Return what a token leads to."""
        step = self._steps.get((state, token))
        if step is None:
            step = self._steps[state, token] = self._spell(state, self._texts[token])
        return step

    def finish(self, state: int) -> float:
        """Return the worth of a phrase that the end of the text makes complete."""
        return self._spell(state, " ").gain

    def find(self, words: Sequence[str]) -> set[int]:
        """Return which of some folded words are part of a phrase."""
        found: set[int] = set()
        state: _State = (False, ())
        for number, word in enumerate(words):
            for letter in word:
                state = self._enter(state, letter)
            for node in self._ended(state):
                found.update(range(number + 1 - node.words, number + 1))
            state = self._enter(state, " ")
        return found

    def _add(self, words: Sequence[str], weight: float) -> None:
        stems = [_stem(word) for word in words]
        letters = sum(len(stem) for stem, _ in stems)
        if not letters:
            return
        worth = weight * min(MOST_CREDIT, LETTER_CREDIT * max(1, letters - 2))
        at, spelled = 0, 0
        for stem, inflects in stems:
            for letter in stem:
                spelled += 1
                at = self._child(at, letter)
                self._nodes[at].credit = max(self._nodes[at].credit, worth * spelled / letters)
            node = self._nodes[at]
            node.inflects |= inflects
            if node.after < 0:
                node.after = len(self._nodes)
                self._nodes.append(_Node())
            at = node.after
            if spelled < letters:
                self._nodes[at].credit = max(self._nodes[at].credit, worth * spelled / letters)
        self._nodes[at].worth = max(self._nodes[at].worth, worth)
        self._nodes[at].words = len(words)

    def _child(self, at: int, letter: str) -> int:
        children = self._nodes[at].children
        if letter not in children:
            children[letter] = len(self._nodes)
            self._nodes.append(_Node())
        return children[letter]

    def _number(self, state: _State) -> int:
        number = self._numbers.get(state)
        if number is None:
            number = self._numbers[state] = len(self._states)
            self._states.append(state)
        return number

    def _spell(self, number: int, text: str) -> Advance:
        state, gain = self._states[number], 0.0
        for letter in text:
            if letter == " ":
                gain = max([gain, *(node.worth for node in self._ended(state))])
            state = self._enter(state, letter)
        credit = max((self._nodes[at].credit for at, _ in state[1]), default=0.0)
        return Advance(self._number(state), credit, gain)

    def _enter(self, state: _State, letter: str) -> _State:
        """Return the state behind a letter, or a space."""
        amid_word, items = state
        if letter != " ":
            return True, tuple(self._letter(items if amid_word else (*items, (0, None)), letter))
        if not amid_word:
            return state
        after = (self._nodes[at].after for at, rest in items if self._may_end(at, rest))
        return False, tuple((at, None) for at in after if self._nodes[at].children)

    def _ended(self, state: _State) -> list[_Node]:
        """Return the nodes behind the words that may end here."""
        amid_word, items = state
        ends = [at for at, rest in items if self._may_end(at, rest)] if amid_word else []
        return [self._nodes[self._nodes[at].after] for at in ends]

    def _letter(self, items: Iterable[_Item], letter: str) -> Iterable[_Item]:
        for at, rest in items:
            node = self._nodes[at]
            if rest is None and letter in node.children:
                yield node.children[letter], None
            if node.inflects and (longer := (rest or "") + letter) in _ENDING_PARTS:
                yield at, longer

    def _may_end(self, at: int, rest: str | None) -> bool:
        return self._nodes[at].after >= 0 and (rest is None or rest in _ENDINGS)


def spell_pieces(pieces: Iterable[str]) -> Iterator[str]:
    """Yield what each piece of a vocabulary adds to a folded text; a space ends a word."""
    for piece in pieces:
        yield " " if _SPECIAL.fullmatch(piece) else fold(piece.replace(WORD_START, " "))


def alphabet_of(pieces: Iterable[str]) -> str:
    """Return the letters that a vocabulary can spell, folded."""
    return "".join(sorted(set("".join(spell_pieces(pieces))) - {" "}))


def _stem(word: str) -> tuple[str, bool]:
    """Return what a word must begin with, and whether any ending may follow."""
    if len(word) < _LEAST_INFLECTED or not all("а" <= letter <= "я" for letter in word):
        return word, False
    for ending in _LEMMA_ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _LEAST_STEM:
            return word.removesuffix(ending), True
    return word, True
