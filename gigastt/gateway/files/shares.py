"""Shares: what the clients of uploads divide among themselves, so that none leaves the others without.

Something counted (bytes, open files) is a room: a share for each client, a limit for all, the rest for small holders.
On the event loop. A client is any hashable value; nothing is kept of one that holds and awaits nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable

from gigastt.errors import CapacityTimeout
from gigastt.gateway.pool.turnstile import RETRY_AFTER_MS

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
