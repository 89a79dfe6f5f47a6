"""The order of jobs, and how long they may take. No I/O.

Jobs run in the order in which they came, except that owners take turns: the second job of one comes behind the first
of all others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_MEMORY = 0.98  # how much of what was known of the pace each new figure leaves


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job that waits, or runs: its number, id, owner, bytes (0: not here yet), and when it came (since 1970)."""

    number: int
    id: str
    owner: str
    audio_bytes: int
    created: float


def order_of(queued: Iterable[QueuedJob], running: Iterable[QueuedJob]) -> list[QueuedJob]:
    """Return the jobs that wait, the next one first."""
    before = Counter(job.owner for job in running)
    ranks: list[tuple[int, int, QueuedJob]] = []
    for job in sorted(queued, key=lambda job: job.number):
        ranks.append((before[job.owner], job.number, job))
        before[job.owner] += 1
    return [job for _, _, job in sorted(ranks, key=lambda rank: rank[:2])]


class JobPace:
    """How fast jobs get on: seconds of audio a second, and bytes that a second of audio has."""

    def __init__(self) -> None:
        self._audio = 0.0
        self._time = 0.0
        self._bytes = 0.0
        self._seconds = 0.0

    def note(self, audio_seconds: float, seconds: float) -> None:
        """Take note of audio that was recognised in so many seconds by the clock."""
        self._audio = self._audio * _MEMORY + audio_seconds
        self._time = self._time * _MEMORY + seconds

    def note_size(self, audio_bytes: int, audio_seconds: float) -> None:
        """Take note of how long a recording was."""
        self._bytes = self._bytes * _MEMORY + audio_bytes
        self._seconds = self._seconds * _MEMORY + audio_seconds

    def left(self, audio_seconds: float, sizes: Sequence[int] = ()) -> float | None:
        """Return how many seconds so much audio, and recordings of so many bytes, may take; None: not known yet."""
        if not self._time or not self._audio or (sizes and (not self._bytes or 0 in sizes)):
            return None
        expected = audio_seconds + (sum(sizes) * self._seconds / self._bytes if sizes else 0.0)
        return expected * self._time / self._audio
