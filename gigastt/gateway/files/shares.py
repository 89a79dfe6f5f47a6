"""Shares: what the clients of uploads divide among themselves, so that none leaves the others without.

    Room    something counted (bytes, open files): a share for each client, a limit for all, the rest for small holders
    Slots   turns at something that few may do at a time; clients take turns, not uploads
    Patience  how long one upload has left to wait, over all its queues

On the event loop. A client is any hashable value; nothing is kept of one that holds and awaits nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager

from gigastt.errors import CapacityTimeout, ShuttingDown

RETRY_AFTER_MS = 5_000
_SMALL = 16  # a client that holds up to a sixteenth of its share is a small holder


class Room:
    """How much of something clients may hold: a share each, two shares in all, and half a share more for small holders.

    Args:
        share: what one client may hold; asked anew each time.
        noun: what is counted, for the refusal.
    """

    def __init__(self, share: Callable[[], int], noun: str) -> None:
        self.used = 0
        self._share = share
        self._noun = noun
        self._held: Counter[Hashable] = Counter()

    def hold(self, client: Hashable) -> Holding:
        """Return a holding of nothing yet."""
        return Holding(self, client)

    def take(self, client: Hashable, count: int) -> None:
        """Count something in.

        Raises:
            CapacityTimeout: the client, or all together, would hold too much.
        """
        share = self._share()
        held = self._held[client] + count
        if held > share:
            raise CapacityTimeout(f"Your uploads hold all the {self._noun} they may.", retry_after_ms=RETRY_AFTER_MS)
        limit = 2 * share + (share // 2 if held * _SMALL <= share else 0)
        if self.used + count > limit:
            raise CapacityTimeout(f"Uploads hold all the {self._noun} they may.", retry_after_ms=RETRY_AFTER_MS)
        self._held[client] = held
        self.used += count

    def give_back(self, client: Hashable, count: int) -> None:
        """Count something out."""
        self.used -= count
        self._held[client] -= count
        if not self._held[client]:
            del self._held[client]

    @property
    def clients(self) -> int:
        """Clients that hold something."""
        return len(self._held)


class Holding:
    """The part of a room that one upload holds."""

    def __init__(self, room: Room, client: Hashable) -> None:
        self.count = 0
        self._room = room
        self._client = client

    def change_to(self, count: int) -> None:
        """Hold so much from now on, more or less than before.

        Raises:
            CapacityTimeout: so much more is not to be had.
        """
        if count > self.count:
            self._room.take(self._client, count - self.count)
        elif count < self.count:
            self._room.give_back(self._client, self.count - count)
        self.count = count

    def release(self) -> None:
        """Hold nothing; again does nothing."""
        self.change_to(0)


class Patience:
    """How long one upload has left to wait, in seconds."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._left = seconds
        self._clock = clock

    @property
    def left(self) -> float:
        return max(0.0, self._left)

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[float]:
        """Count the time spent in the body; give the time that is left."""
        began = self._clock()
        try:
            yield self.left
        finally:
            self._left -= self._clock() - began


class Slots:
    """Turns at something that only so many may do at a time.

    A free slot goes to the client that waits and was served longest ago, if it holds less than its share: a client
    with a hundred uploads waits as long as one with a single upload does, and one slot is always left by it.

    Args:
        total: slots there are; at least one is given whatever it says.
        share: slots that one client may hold; at least one.
    """

    def __init__(self, total: Callable[[], int], share: Callable[[], int]) -> None:
        self._total = total
        self._share = share
        self._active: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}  # in the order of their turns
        self._closed = False

    @property
    def active(self) -> int:
        return self._active.total()

    @property
    def waiters(self) -> int:
        return sum(map(len, self._waiting.values()))

    def close(self) -> None:
        """Send away those who wait and those who come; holders go on."""
        self._closed = True
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_exception(ShuttingDown())
        self._waiting.clear()

    @asynccontextmanager
    async def hold(self, client: Hashable, patience: Patience) -> AsyncIterator[None]:
        """Hold one slot.

        Raises:
            CapacityTimeout: there was none before the patience ended.
            ShuttingDown: the slots are closed.
        """
        await self._acquire(client, patience)
        try:
            yield
        finally:
            self._release(client)

    async def _acquire(self, client: Hashable, patience: Patience) -> None:
        if self._closed:
            raise ShuttingDown()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(future)
        self._grant()
        if future.done():
            return
        try:
            async with patience.waiting() as left:
                await asyncio.wait({future}, timeout=left)
        except asyncio.CancelledError:
            self._withdraw(client, future)
            raise
        if future.done():
            future.result()
            return
        self._withdraw(client, future)
        raise CapacityTimeout("The server is busy with other uploads.", retry_after_ms=RETRY_AFTER_MS)

    def _withdraw(self, client: Hashable, future: asyncio.Future[None]) -> None:
        """Stop waiting; give back what was granted at the same moment."""
        if not future.done():
            future.cancel()
            futures = self._waiting[client]
            futures.remove(future)
            if not futures:
                del self._waiting[client]
        elif future.exception() is None:
            self._release(client)

    def _release(self, client: Hashable) -> None:
        self._active[client] -= 1
        if not self._active[client]:
            del self._active[client]
        self._grant()

    def _grant(self) -> None:
        while self.active < max(1, self._total()):
            share = max(1, self._share())
            client = next((client for client in self._waiting if self._active[client] < share), None)
            if client is None:
                return
            futures = self._waiting.pop(client)
            futures.popleft().set_result(None)
            if futures:
                self._waiting[client] = futures  # behind the others
            self._active[client] += 1
