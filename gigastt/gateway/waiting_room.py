"""The waiting room: sessions to which their clients can come back on another connection.

On the event loop; one for a server. A session is here as long as it runs, and for a while after its end, since its last
finals may not have reached its client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar

MOST_OVER: Final = 4_096  # sessions that are over, some 4 kB each; whoever opens one after the other fills no memory

Waiting = TypeVar("Waiting")


class WaitingRoom(Generic[Waiting]):
    """All sessions of a server that clients may come back to.

    Args:
        seconds: how long a session that is over can be found.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._sessions: dict[str, Waiting] = {}
        self._ended: dict[str, asyncio.TimerHandle] = {}  # the earliest first

    def enter(self, session_id: str, session: Waiting) -> None:
        """Let a client find its session again."""
        self._sessions[session_id] = session

    def find(self, session_id: str) -> Waiting | None:
        """Return a session by its id."""
        return self._sessions.get(session_id)

    def leave(self, session_id: str, *, at_once: bool) -> None:
        """A session is over; unless `at_once`, its client may still fetch its last finals."""
        if at_once:
            self._sessions.pop(session_id, None)
            return
        self._ended[session_id] = asyncio.get_running_loop().call_later(self._seconds(), self._forget, session_id)
        if len(self._ended) > MOST_OVER:
            self._forget(next(iter(self._ended)))

    def _forget(self, session_id: str) -> None:
        self._ended.pop(session_id).cancel()
        self._sessions.pop(session_id, None)
