"""Words as they are compared: lower case, no punctuation, ё as е."""

from __future__ import annotations

import re

_NOT_WORDS = re.compile(r"[^\w\s]+")


def normalise(text: str) -> str:
    """Reduce a transcript or a reference to what a word error rate compares."""
    return " ".join(_NOT_WORDS.sub(" ", text.lower().replace("ё", "е")).split())
