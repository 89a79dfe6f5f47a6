"""Admission: how many sessions run at once, and who waits for how long.

Owned by the pool, on the event loop. A place that becomes free goes to the waiting client that holds the fewest, and
there to the session that has waited longest. While a client waits, sessions of clients that hold more than it does are
asked to leave once they are silent: whoever opens many sessions and says nothing keeps nobody out.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Final

from gigastt.errors import CapacityTimeout
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.turnstile import Queued, Turnstile

LEAST_RETRY_MS = 1_000
MOST_RETRY_MS = 30_000
SILENT_SECONDS: Final = 10.0  # without audio, while others wait; less where those wait for less than twice as long
LEAST_SHARE_OF_TIME: Final = 0.1  # audio for a tenth of the time is no silence
_SMOOTHING = 0.2
_LOOK_SECONDS = 0.25  # between two looks at who is silent, while somebody waits


class Guest:
    """One session, while it waits for a place and while it holds one.

    Args:
        client: whose it is; sessions of one client are counted together.
        make_room: asks a silent session to leave; returns whether it will. None: it is never silent.
        clock: in seconds, the same for all guests of an admission.

    Attributes:
        is_in: it holds a place.
    """

    __slots__ = ("_clock", "_silent_since", "client", "is_in", "make_room")

    def __init__(
        self,
        client: Hashable = None,
        make_room: Callable[[], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client = client
        self.make_room = make_room
        self.is_in = False
        self._clock = clock
        self._silent_since = clock()

    @property
    def silent_seconds(self) -> float:
        """For how long it has held its place and sent no audio to speak of."""
        return self._clock() - self._silent_since

    def entered(self) -> None:
        """It has got its place."""
        self._silent_since = self._clock()
        self.is_in = True

    def left(self) -> None:
        """It has no place any more, and nothing to be asked; a session that has ended is held by nothing."""
        self.make_room = None
        self.is_in = False

    def heard(self, seconds: float) -> None:
        """So much audio came of it."""
        now = self._clock()
        since = max(self._silent_since, now - SILENT_SECONDS) + seconds / LEAST_SHARE_OF_TIME
        self._silent_since = min(now, since)


class Admission(Turnstile[Guest]):
    """The places for sessions.

    Args:
        metrics: show these places.
        clock: in seconds.
    """

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._metrics = metrics
        self._clock = clock
        self.capacity = 0
        self.active = 0
        self._staying: set[Guest] = set()  # who hold places and were not asked to leave
        self._held: Counter[Hashable] = Counter()  # places of those, by client
        self._looking: asyncio.TimerHandle | None = None
        self._held_seconds = 5.0  # how long a place is held, smoothed
        self._report()

    @property
    def available(self) -> int:
        """Sessions that could begin now."""
        return 0 if self._closed else max(0, self.capacity - self.active)

    @property
    def saturation(self) -> float:
        """The share of the capacity in use, 0 to 1; a pool without capacity is full."""
        return min(1.0, self.active / self.capacity) if self.capacity else 1.0

    @property
    def retry_after_ms(self) -> int:
        """When a place is likely: after one turn of everybody who waits, within reason."""
        turns = (self.waiters + 1) / max(1, self.capacity)
        return int(min(MOST_RETRY_MS, max(LEAST_RETRY_MS, 1000 * self._held_seconds * turns)))

    def resize(self, capacity: int) -> None:
        """Change how many fit. Sessions that run go on, even where they are too many now."""
        self.capacity = capacity
        self._grant()

    @asynccontextmanager
    async def admit(self, timeout: float, guest: Guest | None = None) -> AsyncIterator[None]:
        """Hold one place.

        Raises:
            CapacityTimeout: there was none for `timeout` seconds.
            ShuttingDown: the server is draining.
        """
        guest = guest or Guest(clock=self._clock)
        began = self._clock()
        try:
            try:
                await self._acquire(guest.client, guest, timeout)
            except CapacityTimeout:
                if timeout > 0:
                    self._metrics.pool_timeouts.inc()
                raise
            admitted = self._clock()
            self._metrics.pool_checkout_duration_seconds.observe(admitted - began)
            guest.entered()
            try:
                yield
            finally:
                self._held_seconds += _SMOOTHING * (self._clock() - admitted - self._held_seconds)
                self._leave(guest)
        finally:
            guest.left()

    def _next(self) -> Queued[Guest] | None:
        if not self._queues or not self.available:
            return None
        return self._queues[min(self._queues, key=self._held.__getitem__)][0]

    def _refusal(self) -> CapacityTimeout:
        message = "The server is busy: no capacity became free in time."
        return CapacityTimeout(message, retry_after_ms=self.retry_after_ms)

    def _enter(self, visitor: Guest) -> None:
        self.active += 1
        self._staying.add(visitor)
        self._held[visitor.client] += 1

    def _leave(self, visitor: Guest) -> None:
        self.active -= 1
        self._count_out(visitor)
        self._grant()

    def _count_out(self, guest: Guest) -> None:
        if guest in self._staying:
            self._staying.remove(guest)
            self._held[guest.client] -= 1
            if not self._held[guest.client]:
                del self._held[guest.client]

    # -- silence

    def _look(self) -> None:
        """While somebody waits, ask silent sessions to leave: one for each waiting client at a time."""
        if self._looking is None and self._queues:
            self._looking = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._looking = None
        for client, queue in list(self._queues.items()):
            leaving = self.active - len(self._staying)
            if self.active > self.capacity or leaving >= self.waiters:
                break
            self._ask_one_to_leave(self._held[client], min(SILENT_SECONDS, queue[0].timeout / 2))
        self._look()

    def _ask_one_to_leave(self, fewer: int, seconds: float) -> None:
        """Ask the session that is silent longest, of the client that holds the most places, if those are enough."""
        silent = [
            guest
            for guest in self._staying
            if guest.make_room is not None and self._held[guest.client] > fewer and guest.silent_seconds >= seconds
        ]
        silent.sort(key=lambda guest: (self._held[guest.client], guest.silent_seconds), reverse=True)
        for guest in silent:
            if guest.make_room is not None and guest.make_room():
                self._count_out(guest)
                return

    def _report(self) -> None:
        self._look()
        self._metrics.pool_available.set(self.available)
        self._metrics.pool_waiters.set(self.waiters)
        self._metrics.pool_saturation_ratio.set(self.saturation)
