"""Scoring: how far a transcript is from its reference, in words and in characters.

Pure functions over text; behind `gigastt eval`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_NOT_WORDS = re.compile(r"[^\w\s]+")


@dataclass(frozen=True, slots=True)
class Pair:
    """A word of the reference and the one heard for it; None where one was left out or put in."""

    wanted: str | None
    heard: str | None


@dataclass(frozen=True, slots=True)
class Score:
    """Errors (to replace, leave out or put in) over the length of the reference."""

    errors: int = 0
    length: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(self.errors + other.errors, self.length + other.length)

    @property
    def rate(self) -> float | None:
        """Errors for each word or character wanted; None where none was."""
        return round(self.errors / self.length, 4) if self.length else None


def normalise(text: str) -> str:
    """Reduce a text to what is compared without case and punctuation; ё is е."""
    return " ".join(_NOT_WORDS.sub(" ", text.lower().replace("ё", "е")).split())


def align(wanted: Sequence[str], heard: Sequence[str]) -> list[Pair]:
    """Pair two sequences with the fewest errors, in order."""
    rows = [list(range(len(heard) + 1))]
    for number, word in enumerate(wanted, 1):
        above, row = rows[-1], [number]
        for at, other in enumerate(heard, 1):
            row.append(min(row[at - 1] + 1, above[at] + 1, above[at - 1] + (word != other)))
        rows.append(row)
    pairs: list[Pair] = []
    number, at = len(wanted), len(heard)
    while number or at:
        errors = rows[number][at]
        if number and at and errors == rows[number - 1][at - 1] + (wanted[number - 1] != heard[at - 1]):
            number, at = number - 1, at - 1
            pairs.append(Pair(wanted[number], heard[at]))
        elif number and errors == rows[number - 1][at] + 1:
            number -= 1
            pairs.append(Pair(wanted[number], None))
        else:
            at -= 1
            pairs.append(Pair(None, heard[at]))
    return pairs[::-1]


def score(wanted: Sequence[str], heard: Sequence[str]) -> Score:
    """Count the errors between two sequences, of words or of characters."""
    return Score(sum(pair.wanted != pair.heard for pair in align(wanted, heard)), len(wanted))
