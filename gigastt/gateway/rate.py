"""Rates: token buckets, each kept as one number: the time at which it will be full again.

This is the "generic cell rate algorithm": taking a token moves that time on by the interval of one token, and is
refused if it would then lie further ahead than a whole burst. Pure; `now` is in seconds of any steady clock.
"""

from __future__ import annotations

from dataclasses import dataclass

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


class Tolerance:
    """How many frames that mean nothing a client may send before it is taken for something else.

    Time forgives, and so does audio: a client that sends a useless message every second for a day has done nothing
    worth a close.
    """

    def __init__(self, most: int, forgiven_per_second: float) -> None:
        self._rate = Rate(round(60 * forgiven_per_second), most)
        self._full_at = 0.0

    def bear(self, now: float) -> bool:
        """Count one more frame; return whether that can still be borne."""
        self._full_at, wait = take_token(self._rate, self._full_at, now)
        return wait == 0

    def forgive(self) -> None:
        """Forget all that was counted."""
        self._full_at = 0.0
