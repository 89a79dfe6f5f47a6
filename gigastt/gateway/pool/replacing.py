"""Replacing workers: when one has done enough, when a dead one may be spawned again, given up or warned of; with what.

Without a clock; owned by the pool, on the event loop. A worker is worn out by its memory or its passes. One that dies:

- is spawned again after 0.1 s, doubling to 5 s for as long as it keeps dying young;
- if it was ready and is killed from outside, it could start: the next is spawned after 0.1 s, at any pace of kills;
- two failures before the first worker of the pool was ready end the server: its files are wrong, and no number of
  attempts will mend them;
- a worker that dies young again and again is a crash loop: `/ready` says so, other workers go on serving.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
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
    """The work and growth of one life of a worker so far.

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


FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
BOOT_ATTEMPTS = 2
# A worker that served this long did not fail at starting; 40 random kills a minute are no crash loop.
STEADY_SECONDS = 1.0
LOOP_DEATHS = 5
# A spawn takes eleven at once under uvloop, seven under asyncio, and keeps three or four: a socket pair, the black box
# and its mapping, /dev/null, the loop's pipes, and the process's entry in /proc.
SPAWN = 12
RESERVED = 3 * SPAWN  # what a dead worker frees, a client may take before the reserve does


@dataclass(slots=True)
class _Slot:
    ready_at: float | None = None
    early_deaths: int = 0  # of its own
    early_kills: int = 0  # from outside


class RestartPolicy:
    """The histories of all workers of a pool."""

    def __init__(self, workers: int) -> None:
        self._slots = [_Slot() for _ in range(workers)]
        self._any_ready = False
        self._boot_failures = 0

    def ready(self, worker: int, now: float) -> None:
        """A worker has loaded its model."""
        self._slots[worker].ready_at = now
        self._any_ready = True

    def died(self, worker: int, now: float, *, killed: bool = False) -> float:
        """A worker is gone; return the seconds to wait before spawning it again.

        Args:
            worker: its place in the pool.
            now: seconds of any monotonic clock.
            killed: a signal from outside ended it.
        """
        slot = self._slots[worker]
        if not self._any_ready:
            self._boot_failures += 1
        if slot.ready_at is not None and now - slot.ready_at >= STEADY_SECONDS:
            slot.early_deaths = slot.early_kills = 0
        was_ready, slot.ready_at = slot.ready_at is not None, None
        if killed and was_ready:
            slot.early_kills += 1
            return FIRST_DELAY
        slot.early_deaths += 1
        return float(min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(slot.early_deaths - 1, 10)))

    @property
    def boot_failed(self) -> bool:
        """Nothing was ever ready, and enough has been tried."""
        return not self._any_ready and self._boot_failures >= BOOT_ATTEMPTS

    def crash_loop(self, now: float) -> bool:
        """Some worker keeps dying young and has not served steadily since."""
        return any(
            slot.early_deaths + slot.early_kills >= LOOP_DEATHS
            and (slot.ready_at is None or now - slot.ready_at < STEADY_SECONDS)
            for slot in self._slots
        )


class DescriptorReserve:
    """Open descriptors of nothing, closed when they are needed for starting a worker in the place of a dead one.

    Clients may take every descriptor that the process is allowed; then nothing can be opened, and a pool without
    workers would stay without. A spawn opens all that it needs before it awaits anything, so no connection that is
    accepted meanwhile can take what was lent to it.
    """

    def __init__(self, count: int = RESERVED) -> None:
        self._count = count
        self._held: list[int] = []

    def fill(self) -> None:
        """Take what is missing, as far as there are descriptors."""
        with contextlib.suppress(OSError):
            while len(self._held) < self._count:
                self._held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))

    def empty(self) -> None:
        """Give all of it back."""
        while self._held:
            os.close(self._held.pop())

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Let the body have enough for one spawn; what it does not keep is taken again."""
        for descriptor in self._held[:SPAWN]:
            os.close(descriptor)
        del self._held[:SPAWN]
        try:
            yield
        finally:
            self.fill()
