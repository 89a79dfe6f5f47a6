"""Events: what a session tells whoever shows it to a client.

Plain values between `session` and the shells (`live`, uploads, server-sent events), which turn them into
JSON. Times are seconds from the first sample of the client's audio. Know nothing of pipes or sockets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from gigastt.transcript import Gap, Word

FinalReason: TypeAlias = Literal["silence", "max_duration", "flush", "stop", "shutdown", "timeout", "error"]
EndReason: TypeAlias = Literal["stop", "shutdown", "timeout", "error"]


@dataclass(frozen=True, slots=True)
class PartialEvent:
    """The utterance so far; its first `stable` words will not change in a later partial.

    as_final: no audio comes, and these are the words that the final would have if none came any more.
    """

    channel: int
    text: str
    words: tuple[Word, ...]
    stable: int
    as_final: bool = False


@dataclass(frozen=True, slots=True)
class FinalEvent:
    """One whole utterance. `seq` counts the finals of the session, over all its channels, from 0."""

    channel: int
    seq: int
    text: str
    words: tuple[Word, ...]
    start: float
    end: float
    confidence: float
    reason: FinalReason


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """How much of an upload is transcribed. Only uploads get these."""

    seconds: float


Event: TypeAlias = PartialEvent | FinalEvent | ProgressEvent | Gap
