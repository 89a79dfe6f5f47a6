"""Words as they are compared: lower case, no punctuation, ё as е."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

_NOT_WORDS = re.compile(r"[^\w\s]+")


def normalise(text: str) -> str:
    """Reduce a transcript or a reference to what a word error rate compares."""
    return " ".join(_NOT_WORDS.sub(" ", text.lower().replace("ё", "е")).split())


def unmatched(words: Sequence[str], others: Sequence[str]) -> int:
    """Count the words that `others` do not hold at their place, words that come or go before them apart."""
    matcher = SequenceMatcher(a=list(words), b=list(others), autojunk=False)
    return len(words) - sum(block.size for block in matcher.get_matching_blocks())
