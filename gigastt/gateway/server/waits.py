"""Waits: the tasks of one connection wait for messages, and for room to write.

In the place of asyncio's queue and event, which hold 4 kB while nobody waits. On the event loop; one task at a time
waits for messages, any number for room.
"""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class MessageQueue(Generic[T]):
    """Messages for the application.

    Attributes:
        messages: those that it has not taken yet, a few at most.
    """

    __slots__ = ("_taker", "messages")

    def __init__(self) -> None:
        self.messages: list[T] = []
        self._taker: asyncio.Future[None] | None = None

    def put_nowait(self, message: T) -> None:
        """Add a message."""
        self.messages.append(message)
        if self._taker is not None and not self._taker.done():
            self._taker.set_result(None)

    async def get(self) -> T:
        """Wait for the next message, and take it."""
        assert self._taker is None, "another task waits for messages"
        while not self.messages:
            self._taker = asyncio.get_running_loop().create_future()
            try:
                await self._taker
            finally:
                self._taker = None
        return self.messages.pop(0)


class WriteRoom:
    """Whether there is room to write: `set` while there is, `clear` while there is none."""

    __slots__ = ("_none",)

    def __init__(self) -> None:
        self._none: asyncio.Event | None = None  # set when there is some again

    def set(self) -> None:
        """There is some."""
        if self._none is not None:
            self._none.set()
            self._none = None

    def clear(self) -> None:
        """There is none."""
        if self._none is None:
            self._none = asyncio.Event()

    def is_set(self) -> bool:
        """Whether there is some."""
        return self._none is None

    async def wait(self) -> None:
        """Wait until there is some."""
        while self._none is not None:
            await self._none.wait()
