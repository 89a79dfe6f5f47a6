"""Feeds: what is told of a session, for those who follow it under its id: of a call, whose telephone cannot read it,
and of any other session, along with which others may read.

    telephone ─audio→ conversation ─messages→ feed ─┬→ GET /v1/sessions/{id}/events
                                                    └→ webhook
    client ←─audio, messages─→ conversation ─messages→ feed ─→ GET /v1/sessions/{id}/events

A feed may be followed before its session begins, and for a while after it has ended; each follower reads on from the
message it names. Memory is bounded: a partial gives way to what follows it, and of very long sessions the oldest
messages go; of a session whose client can read it, only the last are kept. A follower that does not read holds up
nobody. On the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Hashable
from dataclasses import dataclass
from typing import Final

from gigastt.errors import NotFound, SessionTaken, ShuttingDown

MOST_MESSAGES: Final = 4_096  # of one call: hours of speech
LAST_MESSAGES: Final = 64  # of one session that others read along with
MOST_ENDED: Final = 256  # sessions that have ended and can still be followed
WOKEN_AT_ONCE: Final = 32  # followers: a message costs each some 60 microseconds
MOST_ENDED_BYTES: Final = 32 * 1024 * 1024  # of their messages, but for the last session's
_MESSAGE_BYTES: Final = 200  # of a message, besides its characters
KEPT_SECONDS: Final = 60.0  # after the end


@dataclass(frozen=True, slots=True)
class FeedMessage:
    """A message of a session.

    number: counts from 1; a message that gave way leaves a gap.
    passing: the next message replaces it.
    """

    number: int
    text: str
    passing: bool


class Feed:
    """The messages of one session."""

    __slots__ = (
        "_messages",
        "_most",
        "_waiting",
        "began",
        "ended",
        "followers",
        "number",
        "owner",
        "session_id",
        "sessions",
    )

    def __init__(self, session_id: str, number: int = 0) -> None:
        self.session_id = session_id
        self.began = self.ended = False
        self.followers = 0
        self.owner: Hashable = None
        self.sessions = 0  # more than one while a client's old connection is not known to be dead
        self.number = number  # of the last message
        self._messages: list[FeedMessage] = []
        self._most = MOST_MESSAGES
        self._waiting: set[asyncio.Future[None]] = set()  # of followers who have read all

    def add(self, text: str, *, passing: bool = False) -> None:
        """Add a message."""
        self.number += 1
        if self._messages and self._messages[-1].passing:
            self._messages.pop()
        self._messages.append(FeedMessage(self.number, text, passing))
        del self._messages[: -self._most]
        self.wake()

    def keep_last(self) -> None:
        """Keep only the last messages from now on."""
        self._most = LAST_MESSAGES
        del self._messages[: -self._most]

    @property
    def held_bytes(self) -> int:
        """What its messages take, roughly."""
        return sum(_MESSAGE_BYTES + len(message.text) for message in self._messages)

    def wake(self) -> None:
        """Let followers look up, a few in each pass of the loop: there may be a thousand."""
        waiting, self._waiting = self._waiting, set()
        if waiting:
            _wake(list(waiting))

    async def read(self, after: int = 0, given_up: Callable[[], bool] = lambda: False) -> AsyncGenerator[FeedMessage]:
        """Yield the messages behind a number, those to come among them, until the end or, when awake, `given_up`."""
        while True:
            number = self.number
            for message in [each for each in self._messages if each.number > after]:
                yield message
                after = message.number
            if number != self.number:  # more came while these were read
                continue
            if self.ended or given_up():
                return
            news = asyncio.get_running_loop().create_future()
            self._waiting.add(news)
            try:
                await news
            finally:
                self._waiting.discard(news)


def _wake(waiting: list[asyncio.Future[None]]) -> None:
    for news in waiting[:WOKEN_AT_ONCE]:
        if not news.done():  # else it is cancelled
            news.set_result(None)
    if len(waiting) > WOKEN_AT_ONCE:
        asyncio.get_running_loop().call_soon(_wake, waiting[WOKEN_AT_ONCE:])


class Feeds:
    """The feeds of one server, by the ids of their sessions.

    Attributes:
        on_begin: called with each feed when its call begins.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.on_begin: Callable[[Feed], None] = lambda feed: None
        self._clock = clock
        self._feeds: dict[str, Feed] = {}
        self._ended: deque[tuple[float, int, Feed]] = deque()
        self._ended_bytes = 0
        self._draining = False

    def __len__(self) -> int:
        return len(self._feeds)

    def is_awaited(self, session_id: str) -> bool:
        """Tell whether somebody follows a session that has not begun."""
        feed = self._feeds.get(session_id)
        return feed is not None and not feed.began and feed.followers > 0

    def begin(self, session_id: str) -> Feed:
        """Return the feed of a session that begins now.

        Raises:
            SessionTaken: another session has this id.
        """
        feed = self._feeds.get(session_id)
        if feed is not None and feed.began and not feed.ended:
            raise SessionTaken("A session of this id runs already.")
        feed = self._begin(session_id, feed)
        self.on_begin(feed)
        return feed

    def begin_along(self, session_id: str, owner: Hashable) -> Feed:
        """Return the feed of a session whose client reads it as well, and is told of it there.

        The same client may begin a second session of that id, as after a connection that was lost.

        Raises:
            SessionTaken: another client's session has this id.
        """
        feed = self._feeds.get(session_id)
        if feed is not None and feed.began and not feed.ended and feed.owner != owner:
            raise SessionTaken("A session of this id runs already.")
        feed = self._begin(session_id, feed)
        feed.owner = owner
        feed.keep_last()
        return feed

    def _begin(self, session_id: str, feed: Feed | None) -> Feed:
        if feed is None or feed.ended:  # whoever followed the last one goes on behind it
            feed = self._feeds[session_id] = Feed(session_id, feed.number if feed is not None else 0)
        feed.began = True
        feed.sessions += 1
        return feed

    def end(self, feed: Feed) -> None:
        """A session has ended; if it is the last one of its feed, that can be followed for a while."""
        feed.sessions -= 1
        if feed.sessions:
            return
        feed.ended = True
        feed.wake()
        size = feed.held_bytes
        self._ended.append((self._clock() + KEPT_SECONDS, size, feed))
        self._ended_bytes += size
        self._forget_ended()

    async def follow(self, session_id: str, after: int, patience: float) -> AsyncGenerator[FeedMessage]:
        """Yield the messages of a session behind a number; it may begin within `patience` seconds.

        Raises:
            NotFound: it did not.
            ShuttingDown: the server stops, and it has not begun.
        """
        self._forget_ended()
        feed = self._feeds.setdefault(session_id, Feed(session_id))
        deadline = self._clock() + patience
        timer = asyncio.get_running_loop().call_later(patience, feed.wake)
        feed.followers += 1
        after = 0 if after > feed.number else after  # of one that is forgotten
        try:
            async for message in feed.read(
                after, lambda: not feed.began and (self._draining or self._clock() >= deadline)
            ):
                yield message
            if not feed.began:
                raise ShuttingDown() if self._draining else NotFound("No session of this id has begun.")
        finally:
            timer.cancel()
            feed.followers -= 1
            if not feed.followers and not feed.began:
                self._forget(feed)

    def drain(self) -> None:
        """The server stops: nobody waits for sessions to begin."""
        self._draining = True
        for feed in list(self._feeds.values()):
            feed.wake()

    def _forget_ended(self) -> None:
        while self._ended and (
            len(self._ended) > MOST_ENDED
            or self._ended[0][0] <= self._clock()
            or (self._ended_bytes > MOST_ENDED_BYTES and len(self._ended) > 1)
        ):
            _, size, feed = self._ended.popleft()
            self._ended_bytes -= size
            self._forget(feed)

    def _forget(self, feed: Feed) -> None:
        if self._feeds.get(feed.session_id) is feed:
            del self._feeds[feed.session_id]
