"""Words of one transcript that another does not have."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher


def unmatched(words: Sequence[str], others: Sequence[str]) -> int:
    """Count the words that `others` do not hold at their place, words that come or go before them apart."""
    matcher = SequenceMatcher(a=list(words), b=list(others), autojunk=False)
    return len(words) - sum(block.size for block in matcher.get_matching_blocks())
