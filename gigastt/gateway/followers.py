"""Followers: who reads along with live sessions, by the id of the session.

A session tells its channel each event once, encoded; the channel gives it to every reader. A reader that does not read
loses partials first, then its place; it holds up nobody. A channel outlives its session for a while, so that readers
stay while the speaker's connection is lost, and keeps the last finals of the session for readers that come late. All of
it is in memory, and is forgotten with the channel. On the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

KEPT_FINALS: Final = 32  # for readers that come late or come back
MOST_WAITING: Final = 64  # events of a reader that does not read: some minutes of speech
LINGER_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Told:
    """An event as readers get it.

    number: of a final, counted in its channel; 0 for what the next event of its kind replaces.
    track: which of the session's channels it is of.
    """

    block: bytes
    number: int
    track: int


class Reader:
    """What one reader has not been given yet."""

    def __init__(self) -> None:
        self.ended = False
        self._waiting: deque[Told] = deque()
        self._news = asyncio.Event()

    def give(self, told: Told) -> None:
        """Queue an event, in the place of a partial of the same track that still waits; end a reader too far behind."""
        waiting = self._waiting
        for index in range(len(waiting) - 1, max(-1, len(waiting) - 3), -1):
            if not waiting[index].number and waiting[index].track == told.track:
                del waiting[index]
                break
        if len(waiting) >= MOST_WAITING:
            self.end()
        else:
            waiting.append(told)
            self._news.set()

    def end(self) -> None:
        """Nothing follows."""
        self.ended = True
        self._news.set()

    async def take(self) -> bytes:
        """Wait for events and return all of them; empty at the end."""
        await self._news.wait()
        blocks = b"".join(told.block for told in self._waiting)
        self._waiting.clear()
        if not self.ended:
            self._news.clear()
        return blocks


@dataclass(eq=False, slots=True)
class Channel:
    """The readers of one session.

    owner: the client whose session it is.
    sessions: how many there are of that id: more than one while an old connection is not known to be dead.
    """

    owner: Hashable
    sessions: int = 0
    opened: int = 0
    readers: set[Reader] = field(default_factory=set)
    _finals: deque[Told] = field(default_factory=lambda: deque(maxlen=KEPT_FINALS))
    _count: int = 0

    def tell(self, message: str, *, is_final: bool, track: int) -> None:
        """Give an event, as JSON, to every reader."""
        self._count += is_final
        number = self._count if is_final else 0
        block = f"id: {number}\ndata: {message}\n\n" if is_final else f"data: {message}\n\n"
        told = Told(block.encode(), number, track)
        if is_final:
            self._finals.append(told)
        for reader in self.readers:
            reader.give(told)

    def join(self, after: int) -> Reader:
        """Return a reader that gets the finals kept after that number, and all that comes."""
        reader = Reader()
        for told in self._finals:
            if told.number > after or after > self._count:
                reader.give(told)
        self.readers.add(reader)
        return reader

    def leave(self, reader: Reader) -> None:
        """Forget a reader."""
        self.readers.discard(reader)


class Followers:
    """The channels of live sessions, and of those that ended a moment ago.

    Args:
        linger: seconds that a channel outlives its session.
    """

    def __init__(self, linger: float = LINGER_SECONDS) -> None:
        self._linger = linger
        self._channels: dict[str, Channel] = {}

    def open(self, session: str, owner: Hashable) -> Channel | None:
        """Return the channel of a session that begins; None where another client has that id."""
        channel = self._channels.setdefault(session, Channel(owner))
        if channel.owner != owner:
            return None
        channel.sessions += 1
        channel.opened += 1
        return channel

    def close(self, session: str, *, lingers: bool) -> None:
        """The session is over; its channel ends now, or a while later if no other of its id begins."""
        channel = self._channels[session]
        channel.sessions -= 1
        if channel.sessions:
            return
        if lingers:
            asyncio.get_running_loop().call_later(self._linger, self._forget, session, channel.opened)
        else:
            self._forget(session, channel.opened)

    def find(self, session: str) -> Channel | None:
        """Return the channel of a session."""
        return self._channels.get(session)

    def end_unowned(self) -> None:
        """End the channels whose sessions are over: the server stops."""
        for session, channel in list(self._channels.items()):
            if not channel.sessions:
                self._forget(session, channel.opened)

    def _forget(self, session: str, opened: int) -> None:
        channel = self._channels.get(session)
        if channel is None or channel.sessions or channel.opened != opened:
            return
        del self._channels[session]
        for reader in channel.readers:
            reader.end()
