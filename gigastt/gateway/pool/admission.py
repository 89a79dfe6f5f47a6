"""Admission: how many sessions run at once, and who waits for how long.

Owned by the pool, on the event loop. A place that becomes free goes to the waiting client that holds the fewest, and
there to the session that has waited longest. While a client waits, sessions of clients that hold more than it does are
asked to leave once they are silent: whoever opens many sessions and says nothing keeps nobody out.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from gigastt.errors import CapacityTimeout, ShuttingDown
from gigastt.gateway.metrics import Metrics

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


@dataclass(eq=False, slots=True)
class _Waiter:
    """A guest without a place. The place is counted by whoever grants it."""

    guest: Guest
    granted: asyncio.Future[None]
    timeout: float


class Admission:
    """The places for sessions.

    Args:
        metrics: show these places; None for those that are not shown.
        clock: in seconds.
    """

    def __init__(
        self,
        metrics: Metrics | None,
        clock: Callable[[], float] = time.monotonic,
        count_waiters: Callable[[float], None] = lambda count: None,
    ) -> None:
        self._metrics = metrics
        self._count_waiters = count_waiters
        self._clock = clock
        self._capacity = 0
        self._active = 0
        self._waiters: dict[Hashable, deque[_Waiter]] = {}  # by client, in the order of their turns
        self._staying: set[Guest] = set()  # who hold places and were not asked to leave
        self._held: Counter[Hashable] = Counter()  # places of those, by client
        self._looking: asyncio.TimerHandle | None = None
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
        return sum(map(len, self._waiters.values()))

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
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.granted.set_exception(ShuttingDown())
        self._waiters.clear()
        self._report()

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
            await self._acquire(timeout, guest)
            admitted = self._clock()
            if self._metrics is not None:
                self._metrics.pool_checkout_duration_seconds.observe(admitted - began)
            guest.entered()
            try:
                yield
            finally:
                self._held_seconds += _SMOOTHING * (self._clock() - admitted - self._held_seconds)
                self._leave(guest)
        finally:
            guest.left()

    async def _acquire(self, timeout: float, guest: Guest) -> None:
        """Take a place: count it as active."""
        if self._closed:
            raise ShuttingDown()
        if self.available and not self._waiters:
            self._enter(guest)
            self._report()
            return
        waiter = _Waiter(guest, asyncio.get_running_loop().create_future(), timeout)
        self._waiters.setdefault(guest.client, deque()).append(waiter)
        self._report()
        self._look()
        try:
            # The place is counted by whoever grants it, so a granted waiter that is cancelled must give it back.
            await asyncio.wait({waiter.granted}, timeout=timeout)
        except asyncio.CancelledError:
            self._withdraw(waiter)
            raise
        if waiter.granted.done():
            waiter.granted.result()
            return
        retry_after_ms = self.retry_after_ms
        self._withdraw(waiter)
        if self._metrics is not None and timeout > 0:
            self._metrics.pool_timeouts.inc()
        raise CapacityTimeout("The server is busy: no capacity became free in time.", retry_after_ms=retry_after_ms)

    def _withdraw(self, waiter: _Waiter) -> None:
        if waiter.granted.done():
            if waiter.granted.exception() is None:
                self._leave(waiter.guest)
            return
        waiter.granted.cancel()
        client = waiter.guest.client
        self._waiters[client].remove(waiter)
        if not self._waiters[client]:
            del self._waiters[client]
        self._report()

    def _grant(self) -> None:
        while self._waiters and self.available:
            client = min(self._waiters, key=self._held.__getitem__)
            waiters = self._waiters.pop(client)
            waiter = waiters.popleft()
            if waiters:
                self._waiters[client] = waiters  # behind those who hold as few
            self._enter(waiter.guest)
            waiter.granted.set_result(None)
        self._report()

    def _enter(self, guest: Guest) -> None:
        self._active += 1
        self._staying.add(guest)
        self._held[guest.client] += 1

    def _leave(self, guest: Guest) -> None:
        self._active -= 1
        self._count_out(guest)
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
        if self._looking is None and self._waiters:
            self._looking = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._looking = None
        for client, waiters in list(self._waiters.items()):
            leaving = self._active - len(self._staying)
            if self._active > self._capacity or leaving >= self.waiters:
                break
            self._ask_one_to_leave(self._held[client], min(SILENT_SECONDS, waiters[0].timeout / 2))
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
        self._count_waiters(self.waiters)
        if self._metrics is None:
            return
        self._metrics.pool_available.set(self.available)
        self._metrics.pool_waiters.set(self.waiters)
        self._metrics.pool_saturation_ratio.set(self.saturation)
