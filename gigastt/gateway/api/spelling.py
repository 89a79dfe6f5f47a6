"""Spelling: words as the protocols of other recognisers have them, bare. Pure."""

from __future__ import annotations

import unicodedata

_INSIDE_WORDS = "-'’"


def plain(text: str) -> str:
    """Return a text in lower case and without punctuation; hyphens and apostrophes inside words stay."""
    words = ("".join(map(_letter, word)).strip(_INSIDE_WORDS) for word in text.lower().split())
    return " ".join(word for word in words if word)


def _letter(letter: str) -> str:
    return letter if letter in _INSIDE_WORDS or not unicodedata.category(letter).startswith("P") else ""
