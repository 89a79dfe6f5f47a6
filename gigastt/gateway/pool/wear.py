"""Wear: when a worker has done enough, and is replaced before it does harm. Pure; one for each life of a worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from gigastt.ipc.messages import Stats

WearReason: TypeAlias = Literal["memory", "passes"]

LEAST_SECONDS = 60.0  # one whose memory is over the limit so soon would be so again


@dataclass(frozen=True, slots=True)
class Endurance:
    """The limits after which a worker is replaced; 0 for none.

    memory_bytes: resident, as `Stats` has it.
    passes: of the encoder.
    """

    memory_bytes: int = 0
    passes: int = 0


@dataclass(slots=True)
class Wear:
    """The work and growth of one worker so far.

    since: when it began, in seconds of any clock.
    """

    since: float
    memory_bytes: int = 0
    passes: int = 0

    def record(self, stats: Stats) -> None:
        """Take what it says of itself."""
        self.memory_bytes = stats.memory_bytes
        self.passes += len(stats.passes)

    def exceeds(self, endurance: Endurance, now: float) -> WearReason | None:
        """Return which limit is passed, if one is."""
        if endurance.passes and self.passes >= endurance.passes:
            return "passes"
        if endurance.memory_bytes and self.memory_bytes >= endurance.memory_bytes and now - self.since >= LEAST_SECONDS:
            return "memory"
        return None
