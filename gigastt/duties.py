"""Duties: tasks that last as long as the server, on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from gigastt.errors import DutyFailed, GigasttError
from gigastt.log import get_logger

log = get_logger(__name__)


class Duties:
    """Tasks that last as long as the server; one that ends before, however it does, ends the server.

    Used as a context: what still runs at its end is cancelled.

    Attributes:
        failure: what the server is to end with; None while every duty is done.
    """

    def __init__(self, on_failure: Callable[[], None]) -> None:
        self.failure: Exception | None = None
        self._on_failure = on_failure
        self._released = False
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin a duty."""
        task = asyncio.create_task(self._see_through(name, work), name=name)
        self._tasks.add(task)
        return task

    def release(self) -> None:
        """Let duties end from now on."""
        self._released = True

    async def __aenter__(self) -> Duties:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _see_through(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
            failure: Exception = DutyFailed(f"A part of the server ended that must not: {name}.")
        except GigasttError as exc:  # the model or the workers, in words for people
            failure = exc
        except Exception as exc:  # the border of a duty
            log.exception("duty_failed", duty=name)
            failure = DutyFailed(f"A part of the server failed: {name}. The log has the cause.")
            failure.__cause__ = exc
        if not self._released:
            self.failure = self.failure or failure
            self._on_failure()
