"""The vocabulary: what the recogniser finds, in one form from the search to the client.

Plain values that any thread or process may hold. Times are seconds from the first sample of the client's audio.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its punctuation."""

    text: str
    start: float
    end: float
    confidence: float
