"""Events of a session: plain values on their way to the client.

Live conversations, uploads and streams of events turn them into JSON. Times are seconds from the first sample of the
client's audio.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from gigastt.transcript import Final, Gap, HeardSpeakers, Partial

EndReason: TypeAlias = Literal["stop", "shutdown", "timeout", "error"]


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """How much of an upload is transcribed. Only uploads get these."""

    seconds: float


@dataclass(frozen=True, slots=True)
class TrackCheckpoint:
    """One channel's part of a checkpoint; samples are absolute, at 16 kHz.

    committed: nothing before is needed again.
    analysed: the recogniser's state knows the audio up to here; it goes on when it has all of that again.
    silent_until: samples from the commit up to here are to be heard as silence: they belong to what was before a flush.
    state: the recogniser's, of that commit.
    """

    committed: int
    analysed: int
    silent_until: int
    state: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A moment from which another session can go on, given the audio behind it.

    tracks: one for each channel.
    next_seq: of the first final that is told after it.
    """

    tracks: tuple[TrackCheckpoint, ...]
    next_seq: int


ChannelEvent: TypeAlias = Partial | Final | Gap
Event: TypeAlias = ChannelEvent | ProgressEvent | HeardSpeakers
