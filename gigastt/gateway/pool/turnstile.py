"""Turnstiles: something that only so many may have at a time, with a fair queue before it.

Clients take turns, not their requests: a client with a hundred uploads waits as long as one with a single upload does.
On the event loop. A client is any hashable value; nothing is kept of one that has and awaits nothing.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from gigastt.errors import CapacityTimeout, ShuttingDown

RETRY_AFTER_MS: Final = 5_000

Visitor = TypeVar("Visitor")


@dataclass(eq=False, slots=True)
class Queued(Generic[Visitor]):
    """A visitor without a place. The place is counted when it is granted."""

    client: Hashable
    visitor: Visitor
    granted: asyncio.Future[None]
    timeout: float


class Turnstile(ABC, Generic[Visitor]):
    """The queue; what is waited for is counted by those who build on this."""

    def __init__(self) -> None:
        self._queues: dict[Hashable, deque[Queued[Visitor]]] = {}  # by client, in the order of their turns
        self._closed = False

    @property
    def waiters(self) -> int:
        return sum(map(len, self._queues.values()))

    def close(self) -> None:
        """Send away those who wait and those who come; holders go on."""
        self._closed = True
        for queue in self._queues.values():
            for waiting in queue:
                waiting.granted.set_exception(ShuttingDown())
        self._queues.clear()
        self._report()

    async def _acquire(self, client: Hashable, visitor: Visitor, timeout: float) -> None:
        """Enter, now or within so many seconds.

        Raises:
            CapacityTimeout: there was no place in time.
            ShuttingDown: the turnstile is closed.
        """
        if self._closed:
            raise ShuttingDown()
        waiting = Queued(client, visitor, asyncio.get_running_loop().create_future(), timeout)
        self._queues.setdefault(client, deque()).append(waiting)
        self._grant()
        try:
            if not waiting.granted.done():
                await asyncio.wait({waiting.granted}, timeout=timeout)
            if waiting.granted.done():
                waiting.granted.result()
                return
            raise self._refusal()
        except (asyncio.CancelledError, CapacityTimeout):
            self._withdraw(waiting)
            raise

    def _withdraw(self, waiting: Queued[Visitor]) -> None:
        """Stop waiting; give back what was granted at the same moment."""
        if waiting.granted.done():
            if waiting.granted.exception() is None:
                self._leave(waiting.visitor)
            return
        waiting.granted.cancel()
        queue = self._queues[waiting.client]
        queue.remove(waiting)
        if not queue:
            del self._queues[waiting.client]
        self._report()

    def _grant(self) -> None:
        """Let in who may go in; call this whenever there may be a place."""
        while (waiting := self._next()) is not None:
            queue = self._queues.pop(waiting.client)
            queue.popleft()
            if queue:
                self._queues[waiting.client] = queue  # behind the others
            self._enter(waiting.visitor)
            waiting.granted.set_result(None)
        self._report()

    @abstractmethod
    def _next(self) -> Queued[Visitor] | None:
        """Return the first in the queue of the client whose turn it is; None while there is no place for any."""

    @abstractmethod
    def _enter(self, visitor: Visitor) -> None:
        """Count one in."""

    @abstractmethod
    def _leave(self, visitor: Visitor) -> None:
        """Count one out, and let another in."""

    @abstractmethod
    def _refusal(self) -> CapacityTimeout:
        """Return the refusal of a visitor that got no place in time; it still waits."""

    @abstractmethod
    def _report(self) -> None:
        """Tell how many there are and wait."""


class Patience:
    """How long one upload has left to wait, in seconds, over all its queues."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._left = seconds
        self._clock = clock

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[float]:
        """Count the time spent in the body; give the time that is left."""
        began = self._clock()
        try:
            yield max(0.0, self._left)
        finally:
            self._left -= self._clock() - began


class Slots(Turnstile[Hashable]):
    """Slots for uploads, of which one client may hold half.

    Args:
        capacity: how many there are.
        count_waiters: is told how many wait.
    """

    def __init__(self, capacity: int = 0, count_waiters: Callable[[float], None] = lambda count: None) -> None:
        super().__init__()
        self.capacity = capacity
        self._count_waiters = count_waiters
        self._active: Counter[Hashable] = Counter()
        self._report()

    @property
    def active(self) -> int:
        return self._active.total()

    def resize(self, capacity: int) -> None:
        """Change how many there are; holders go on, even where they are too many now."""
        self.capacity = capacity
        self._grant()

    @asynccontextmanager
    async def hold(self, client: Hashable, patience: Patience) -> AsyncIterator[None]:
        """Hold one slot.

        Raises:
            CapacityTimeout: there was none before the patience ended.
            ShuttingDown: the slots are closed.
        """
        async with patience.waiting() as left:
            await self._acquire(client, client, left)
        try:
            yield
        finally:
            self._leave(client)

    def _next(self) -> Queued[Hashable] | None:
        share = -(-self.capacity // 2) if self.active < self.capacity else 0
        return next((queue[0] for client, queue in self._queues.items() if self._active[client] < share), None)

    def _enter(self, visitor: Hashable) -> None:
        self._active[visitor] += 1

    def _leave(self, visitor: Hashable) -> None:
        self._active[visitor] -= 1
        if not self._active[visitor]:
            del self._active[visitor]
        self._grant()

    def _refusal(self) -> CapacityTimeout:
        return CapacityTimeout("The server is busy with other uploads.", retry_after_ms=RETRY_AFTER_MS)

    def _report(self) -> None:
        self._count_waiters(self.waiters)
