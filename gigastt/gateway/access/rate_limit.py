"""The rate limit: one token bucket per client, in bounded memory.

Buckets live in two generations, and one that is used moves to the young one. The old generation is dropped when nobody
has used it for as long as an empty bucket takes to fill, so that all of its buckets are full; or when the young one has
reached its size, which drops the least recently used. A client that keeps asking keeps its bucket, however many
addresses pass by. Runs on the event loop, without I/O; `now` is in seconds of any steady clock.
"""

from __future__ import annotations

from gigastt.gateway.rate import Rate, take_token

GENERATION = 80_000


class RateLimiter:
    """The buckets of all clients, by `addresses.rate_key`."""

    def __init__(self, rate: Rate, generation: int = GENERATION) -> None:
        self._rate = rate
        self._generation = generation
        self._young: dict[int, float] = {}
        self._old: dict[int, float] = {}
        self._turned_at = float("-inf")

    def take(self, key: int, now: float) -> float:
        """Take a token; return 0, or the seconds until there will be one."""
        if self._rate.per_minute <= 0:
            return 0.0
        if now - self._turned_at > self._rate.span or len(self._young) >= self._generation:
            self._old, self._young, self._turned_at = self._young, {}, now
        known = self._young.get(key)
        if known is None:
            known = self._old.pop(key, now)
        self._young[key], wait = take_token(self._rate, known, now)
        return wait

    def change(self, rate: Rate) -> None:
        """Continue with another rate; keep the buckets if only the burst differs."""
        if rate.per_minute != self._rate.per_minute:
            self._young, self._old = {}, {}
        self._rate = rate

    def __len__(self) -> int:
        """Buckets held."""
        return len(self._young) + len(self._old)
