"""The vocabulary: what the recogniser finds, in one form from the search to the client.

Plain values that any thread or process may hold. Times are seconds from the first sample of the client's audio.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

ENDPOINT_SILENCE_MS = (200, 5_000)  # the least and the most

EndpointReason: TypeAlias = Literal["silence", "max_duration", "flush", "stop", "shutdown", "timeout", "error"]
GapCode: TypeAlias = Literal["inference_error", "segment_failed", "audio_damaged", "audio_missing"]


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its punctuation."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Partial:
    """The utterance so far; its first `stable` words will not change in a later partial.

    as_final: no audio comes, and these are the words that the final would have if none came any more.
    channel: as in `Final`.
    """

    text: str
    words: tuple[Word, ...]
    stable: int
    as_final: bool = False
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Final:
    """One whole utterance. Its text may be empty.

    reason: why it ended.
    channel, seq: of a session, which numbers its finals over all its channels; both from 0. A worker knows neither.
    """

    text: str
    words: tuple[Word, ...]
    start: float
    end: float
    confidence: float
    reason: EndpointReason
    channel: int = 0
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """A span of audio without words.

    code: `inference_error` (the recogniser refused it), `segment_failed` (it killed two workers and was skipped),
        `audio_damaged` or `audio_missing` (the uploaded file has no audio there).
    channel: as in `Final`.
    """

    code: GapCode
    start: float
    end: float
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Options:
    """How a stream is cut into utterances, and whether it tells of them before they end.

    endpoint_silence_ms: the silence that ends an utterance, within `ENDPOINT_SILENCE_MS`.
    """

    endpoint_silence_ms: int = 600
    partials: bool = True
