"""A bell: wakes all who wait for news of jobs."""

from __future__ import annotations

import asyncio
import contextlib


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


async def wait_for_ring(ring: asyncio.Event, seconds: float | None) -> None:
    """Wait for a ring, at most so long."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ring.wait(), seconds)
