"""Alarm: wakes a conversation's reader at its deadline, and notices pauses. One timer, on the event loop."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from gigastt.gateway.api.conversation import Conversation


class Alarm:
    """The timer of one conversation.

    Every frame puts the deadline and the next pause off, but they are looked at only when the timer rings.

    Args:
        wake: is called when the deadline has come.
        pause: is called when no audio has come for a while.
    """

    def __init__(self, conversation: Conversation, wake: Callable[[], None], pause: Callable[[], None]) -> None:
        self._conversation = conversation
        self._wake = wake
        self._pause = pause
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def set(self) -> None:
        """Look at the conversation's times, and ring at the next of them."""
        self.cancel()
        now = self._loop.time()
        if self._conversation.notice_pause(now):
            self._pause()
        deadline = self._conversation.deadline
        if deadline <= now:
            self._wake()
        elif (next_at := min(deadline, self._conversation.pause_at)) < math.inf:
            self._timer = self._loop.call_at(next_at, self.set)

    def put_off(self) -> None:
        """Audio has come: ring no later than at the pause that may follow."""
        if self._timer is None or self._conversation.pause_at < self._timer.when():
            self.set()

    def cancel(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end(self) -> None:
        """Ring no more, and forget whom to call, so that they are freed without the collector."""
        self.cancel()
        self._wake = self._pause = _nobody


def _nobody() -> None:
    pass
