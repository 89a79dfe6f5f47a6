"""Admission: how many sessions run at once, and who waits for how long.

Owned by the pool, on the event loop. First come, first served: a place that becomes free goes to whoever has
waited longest. Knows nothing of workers except the sum of their capacities.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gigastt.errors import CapacityTimeout, ShuttingDown
from gigastt.gateway.metrics import Metrics

LEAST_RETRY_MS = 1_000
MOST_RETRY_MS = 30_000
SHUTDOWN_RETRY_MS = 5_000  # by then another server, or this one again, may be there
_SMOOTHING = 0.2


class Admission:
    """The places for sessions."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._capacity = 0
        self._active = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._held_seconds = 5.0  # how long a place is held, smoothed
        self._closed = False
        self._report()

    @property
    def capacity(self) -> int:
        return self._capacity

    @property
    def active(self) -> int:
        return self._active

    @property
    def available(self) -> int:
        """Sessions that could begin now."""
        return 0 if self._closed else max(0, self._capacity - self._active)

    @property
    def waiters(self) -> int:
        return sum(not waiter.done() for waiter in self._waiters)

    @property
    def saturation(self) -> float:
        """The share of the capacity in use, 0 to 1; a pool without capacity is full."""
        return min(1.0, self._active / self._capacity) if self._capacity else 1.0

    @property
    def retry_after_ms(self) -> int:
        """When a place is likely: after one turn of everybody who waits, within reason."""
        turns = (self.waiters + 1) / max(1, self._capacity)
        return int(min(MOST_RETRY_MS, max(LEAST_RETRY_MS, 1000 * self._held_seconds * turns)))

    def resize(self, capacity: int) -> None:
        """Change how many fit. Sessions that run go on, even where they are too many now."""
        self._capacity = capacity
        self._grant()

    def close(self) -> None:
        """Admit nobody any more, and send away those who wait."""
        self._closed = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(_closing())
        self._waiters.clear()
        self._report()

    @asynccontextmanager
    async def admit(self, timeout: float) -> AsyncIterator[None]:
        """Hold one place.

        Raises:
            CapacityTimeout: there was none for `timeout` seconds.
            ShuttingDown: the server is draining.
        """
        began = self._clock()
        await self._acquire(timeout)
        admitted = self._clock()
        self._metrics.pool_checkout_duration_seconds.observe(admitted - began)
        try:
            yield
        finally:
            self._held_seconds += _SMOOTHING * (self._clock() - admitted - self._held_seconds)
            self._active -= 1
            self._grant()

    async def _acquire(self, timeout: float) -> None:
        """Take a place: count it as active."""
        if self._closed:
            raise _closing()
        if self.available and not self._waiters:
            self._active += 1
            self._report()
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._report()
        try:
            # The place is counted by whoever grants it, so a granted waiter that is cancelled must give it back.
            await asyncio.wait({waiter}, timeout=timeout)
        except asyncio.CancelledError:
            self._withdraw(waiter)
            raise
        if waiter.done():
            waiter.result()
            return
        retry_after_ms = self.retry_after_ms
        self._withdraw(waiter)
        self._metrics.pool_timeouts.inc()
        raise CapacityTimeout("The server is busy: no capacity became free in time.", retry_after_ms=retry_after_ms)

    def _withdraw(self, waiter: asyncio.Future[None]) -> None:
        if waiter.done():
            if waiter.exception() is None:
                self._active -= 1
        else:
            waiter.cancel()
            self._waiters.remove(waiter)
        self._grant()

    def _grant(self) -> None:
        while self._waiters and self.available:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._active += 1
                waiter.set_result(None)
        self._report()

    def _report(self) -> None:
        self._metrics.pool_available.set(self.available)
        self._metrics.pool_waiters.set(self.waiters)
        self._metrics.pool_saturation_ratio.set(self.saturation)


def _closing() -> ShuttingDown:
    return ShuttingDown("The server is shutting down.", retry_after_ms=SHUTDOWN_RETRY_MS)
