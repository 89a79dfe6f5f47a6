"""The vocabulary: what the recogniser finds, in one form from the search to the client.

Plain values that any thread or process may hold. Times are seconds from the first sample of the client's audio.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

GapCode: TypeAlias = Literal["inference_error", "segment_failed", "audio_damaged", "audio_missing"]


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its punctuation."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Gap:
    """A span of audio without words.

    code: `inference_error` (the recogniser refused it), `segment_failed` (it killed two workers and was skipped),
        `audio_damaged` or `audio_missing` (the uploaded file has no audio there).
    channel: counted from 0; a session's, which a worker does not know.
    """

    code: GapCode
    start: float
    end: float
    channel: int = 0
