"""Bells: they wake those who wait for news, of all jobs or of one."""

from __future__ import annotations

import asyncio
import contextlib
from weakref import WeakValueDictionary


class Bell:
    """Take `next_ring` before you look for news, and wait for it afterwards: no ring is missed between."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    @property
    def next_ring(self) -> asyncio.Event:
        """The event that the next ring sets."""
        return self._next

    def ring(self) -> None:
        """Wake all."""
        self._next.set()
        self._next = asyncio.Event()


class JobBells:
    """A bell for each job that somebody follows."""

    def __init__(self) -> None:
        self._rings: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()

    def next_ring(self, id: str) -> asyncio.Event:
        """Return what is set by the next ring; it is kept as long as somebody has it."""
        return self._rings.setdefault(id, asyncio.Event())

    def ring(self, id: str) -> None:
        """Wake those who follow a job."""
        ring = self._rings.pop(id, None)
        if ring is not None:
            ring.set()

    def ring_all(self) -> None:
        """Wake all."""
        for id in list(self._rings):
            self.ring(id)


async def wait_for_ring(ring: asyncio.Event, seconds: float | None) -> None:
    """Wait for a ring, at most so long."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ring.wait(), seconds)
