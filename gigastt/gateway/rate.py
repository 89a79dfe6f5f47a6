"""Rates: token buckets, each kept as one number: the time at which it will be full again. And those of all clients.

This is the "generic cell rate algorithm": taking a token moves that time on by the interval of one token, and is
refused if it would then lie further ahead than a whole burst. Pure; `now` is in seconds of any steady clock.
"""

from __future__ import annotations

from dataclasses import dataclass

GENERATION = 80_000
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Rate:
    """Tokens: `per_minute` come back, `burst` fit."""

    per_minute: int
    burst: int

    @property
    def interval(self) -> float:
        """Seconds in which one token comes back."""
        return 60.0 / self.per_minute

    @property
    def span(self) -> float:
        """Seconds in which an empty bucket fills."""
        return self.interval * max(1, self.burst)


def take_token(rate: Rate, full_at: float, now: float) -> tuple[float, float]:
    """Take a token from a bucket.

    Returns:
        When the bucket will be full, and how long to wait first: 0 if the token was taken.
    """
    after = max(full_at, now) + rate.interval
    wait = after - now - rate.span
    return (full_at, wait) if wait > _TOLERANCE else (after, 0.0)


class RateLimiter:
    """The buckets of all clients, by `addresses.rate_key`, in bounded memory.

    Buckets live in two generations, and one that is used moves to the young one. The old generation is dropped when
    nobody has used it for as long as an empty bucket takes to fill, so that all of its buckets are full; or when the
    young one has reached its size, which drops the least recently used. A client that keeps asking keeps its bucket,
    however many addresses pass by.
    """

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
