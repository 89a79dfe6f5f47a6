"""The order of jobs, and how long they may take. No I/O.

Jobs run in the order in which they came, except that owners take turns: the second job of one comes behind the first
of all others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

MOST_JOBS: Final = 10_000  # that have not ended; where keys are asked, one owner may have half of them
_MEMORY = 0.98  # how much of what was known of the pace each new figure leaves


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job that waits, or runs.

    audio_bytes: of the recording; 0: not here yet.
    order_bytes: of what its order has in the store, such as recordings of speakers.
    created: seconds since 1970.
    """

    number: int
    id: str
    owner: str
    audio_bytes: int
    created: float
    order_bytes: int = 0


class JobQueue:
    """All jobs that have not ended, the oldest first.

    Args:
        running: the ids of those that run; call `turn` when they change.
    """

    def __init__(self, running: Collection[str]) -> None:
        self._running = running
        self._jobs: dict[str, QueuedJob] = {}
        self._owners: Counter[str] = Counter()
        self._order: list[QueuedJob] | None = None  # None: to be made anew
        self._standings: dict[str, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[QueuedJob]:
        return iter(self._jobs.values())

    @property
    def running(self) -> int:
        """How many of them run."""
        return sum(id in self._jobs for id in self._running)

    def is_full_for(self, owner: str) -> bool:
        """Whether an owner may add no job."""
        return len(self._jobs) >= MOST_JOBS or bool(owner and self._owners[owner] >= MOST_JOBS // 2)

    def put(self, job: QueuedJob) -> None:
        """Add a job, which came after all others."""
        comes_last = self._order is not None and self._owners[job.owner] >= max(self._owners.values(), default=0) - 1
        self._jobs[job.id] = job
        self._owners[job.owner] += 1
        if comes_last and self._order is not None:  # of one owner's thousands, each
            self._append(job, self._order)
        else:
            self.turn()

    def remove(self, id: str) -> QueuedJob | None:
        """Remove a job and return it, if it is there."""
        job = self._jobs.pop(id, None)
        if job is not None:
            self._owners[job.owner] -= 1
            if not self._owners[job.owner]:
                del self._owners[job.owner]
            self.turn()
        return job

    def turn(self) -> None:
        """Another job runs, or one less."""
        self._order = None

    @property
    def order(self) -> list[QueuedJob]:
        """The jobs that wait, the next one first."""
        if self._order is None:
            running = [job for id in self._running if (job := self._jobs.get(id)) is not None]
            self._order, self._standings = [], {}
            for job in order_of((job for job in self if job.id not in self._running), running):
                self._append(job, self._order)
        return self._order

    def _append(self, job: QueuedJob, order: list[QueuedJob]) -> None:
        before = self._standings[order[-1].id][1] if order else 0
        is_known = job.audio_bytes > 0 and (before > 0 or not order)
        order.append(job)
        self._standings[job.id] = len(order), before + job.audio_bytes if is_known else 0

    def standing(self, id: str) -> tuple[int, int]:
        """Return the position of a job that waits, from 1, and the bytes up to its end; 0 if some are not here yet."""
        return self._standings.get(id, (1, 0)) if self.order else (1, 0)


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
