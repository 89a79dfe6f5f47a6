"""Usage: what is done with one API key, and when that is as much as its limits allow.

Counted since the start of this server; the audio of a day since midnight in UTC, with what came before the start and to
other servers if there is a file of usage. On the event loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from gigastt.errors import QuotaExceeded
from gigastt.gateway.access.key_file import ApiKey
from gigastt.gateway.rate import Rate, take_token

_DAY_SECONDS: Final = 86_400
_SESSION_RETRY_MS: Final = 5_000


class KeyUsage:
    """The use of one key.

    Attributes:
        key: as the file has it now.
        requests: that were let in.
        sessions: live ones now.
        audio_seconds: that were accepted, of files and live.

    Args:
        clock: the time of day, in seconds since 1970.
    """

    def __init__(self, key: ApiKey, clock: Callable[[], float] = time.time) -> None:
        self.key = key
        self.requests = 0
        self.sessions = 0
        self.audio_seconds = 0.0
        self._clock = clock
        self._full_at = 0.0  # the bucket of requests
        self._day = 0
        self._day_began = 0.0  # `audio_seconds` when the day began
        self._elsewhere = 0.0  # seconds of audio of this day that came before the start, and to other servers

    @property
    def name(self) -> str | None:
        """The key's name, if it has one."""
        return self.key.name

    def change_key(self, key: ApiKey) -> None:
        """Go on with the limits that the file has now."""
        if key.limits.requests_per_minute != self.key.limits.requests_per_minute:
            self._full_at = 0.0
        self.key = key

    def begin_request(self, now: float) -> None:
        """Count a request; `now` is in seconds of any steady clock. QuotaExceeded: there were too many this minute."""
        per_minute = self.key.limits.requests_per_minute
        if per_minute is not None:
            self._full_at, wait = take_token(Rate(per_minute, per_minute), self._full_at, now)
            if wait > 0:
                retry_after_ms = max(1, round(wait * 1000))
                raise QuotaExceeded(f"This key may make {per_minute} requests a minute.", retry_after_ms=retry_after_ms)
        self.requests += 1

    @contextmanager
    def session(self) -> Iterator[None]:
        """Count a live session while the body runs.

        Raises:
            QuotaExceeded: there are too many at once, or the day's audio is used up.
        """
        most = self.key.limits.sessions
        if most is not None and self.sessions >= most:
            raise QuotaExceeded(f"This key may have {most} live sessions at once.", retry_after_ms=_SESSION_RETRY_MS)
        self.expect_audio(0.0)
        self.sessions += 1
        try:
            yield
        finally:
            self.sessions -= 1

    def expect_audio(self, seconds: float) -> None:
        """Make sure that so much audio may come, or any at all. QuotaExceeded: it would be over the day's limit."""
        left = self._left()
        if left is not None and (left <= 0 or seconds > left):
            hours, wait = self.key.limits.audio_hours_per_day, _DAY_SECONDS - self._clock() % _DAY_SECONDS
            raise QuotaExceeded(f"This key may send {hours:g} hours of audio a day.", retry_after_ms=round(wait * 1000))

    def hear(self, seconds: float) -> bool:
        """Count audio that has come; return whether more may come today."""
        left = self._left()
        self.audio_seconds += seconds
        return left is None or left > seconds

    @property
    def heard_today(self) -> float:
        """Seconds of audio since midnight, of those that came to this server."""
        day = int(self._clock() // _DAY_SECONDS)
        if day != self._day:
            self._day, self._day_began, self._elsewhere = day, self.audio_seconds, 0.0
        return self.audio_seconds - self._day_began

    def take_up(self, total: float) -> None:
        """Count what all servers have heard today."""
        self._elsewhere = max(0.0, total - self.heard_today)

    def _left(self) -> float | None:
        """Return the seconds of audio that may still come today; None for any number."""
        hours = self.key.limits.audio_hours_per_day
        return None if hours is None else hours * 3600 - self.heard_today - self._elsewhere
