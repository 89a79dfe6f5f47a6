"""Link: a client's connection, and the next one when that is lost.

A transport for the session's shell. Where the client can resume, the loss of its connection is no end: the shell waits
in `receive`, with its session, its place and its audio, until the client comes back on another connection, which the
endpoint of that one lends to the link, or until the time for that is over. Messages of the last minute are remembered,
to be told again.

    connected ──connection lost, or the client does not read──→ lost ──time is over──→ ClientGone
        ↑                                                        │
        └──────────────────── a connection is lent ──────────────┘
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from gigastt.gateway.api.conversation import CLOSE_NORMAL, CLOSE_SERVICE_RESTART
from gigastt.gateway.api.dialect import Message
from gigastt.gateway.api.transport import AudioTaker, ConnectionLost, InputEnded, Transport
from gigastt.gateway.requests import ClientGone

SEND_SECONDS = 5.0
REMEMBERED_SECONDS = 60.0  # longer than a client can be deaf before it is given up for lost
_FAREWELL_SECONDS = 1.0
_HALF_CLOSED = CLOSE_NORMAL  # without a close frame, a sending side that ends is a cable that was cut


@dataclass(frozen=True, slots=True)
class _Remembered:
    """A message that belongs to the final `seq`: it, or what was told just before it."""

    at: float
    seq: int
    message: Message


class Link:
    """One client's connection of the moment.

    Args:
        transport: the first one.
        seconds: how long the client may take to come back; 0 ends its session with its connection.
        asks_to_resume: whether the client said that it may come back.
        wake: makes the shell look up: a connection was lost, or lent.

    Attributes:
        ended: the close code of a session that is over; None also where it can go on elsewhere (1012).
    """

    __slots__ = (  # there is one for each connection
        "_asks_to_resume",
        "_farewells",
        "_forgotten",
        "_lent",
        "_lost_at",
        "_own_lock",
        "_remembered",
        "_seconds",
        "_sending",
        "_successor",
        "_take",
        "_transport",
        "_wake",
        "ended",
    )

    def __init__(
        self, transport: Transport, seconds: float, asks_to_resume: Callable[[], bool], wake: Callable[[], None]
    ) -> None:
        self.ended: int | None = None
        self._transport = transport
        self._seconds = seconds
        self._asks_to_resume = asks_to_resume
        self._wake = wake
        self._own_lock: asyncio.Lock | None = None
        self._lost_at: float | None = None
        self._take: AudioTaker | None = None
        self._sending: asyncio.Timeout | None = None
        self._successor: tuple[Transport, int] | None = None  # and the last final that its client has
        self._lent: dict[Transport, asyncio.Future[bool]] = {}
        self._farewells: list[asyncio.Task[None]] = []
        self._remembered: list[_Remembered] = []
        self._forgotten = -1  # the last final that cannot be told again

    # -- as a transport

    async def receive(self) -> Message | InputEnded:
        """Wait for the client's next message, also through the loss of its connection.

        Raises:
            ClientGone: it has closed its session, or has not come back in time.
        """
        if not self.is_lost:
            transport = self._transport
            try:
                message = await transport.receive()
            except ConnectionLost:
                if not self._lose(transport):
                    raise
            else:
                half_closed = isinstance(message, InputEnded) and message.close_code == _HALF_CLOSED
                if not half_closed or not self._lose(transport):
                    return message
        assert self._lost_at is not None
        try:
            async with asyncio.timeout_at(self._lost_at + self._seconds):
                await asyncio.Event().wait()  # the shell is woken when a connection is lent
        except TimeoutError as exc:
            raise ClientGone from exc
        raise AssertionError("unreachable")

    async def send(self, message: Message, seq: int | None = None) -> None:
        """Send a message; while there is no connection it is dropped.

        Args:
            message: to be sent.
            seq: the final that it is, or that it is told before; None if it need not be told again.

        Raises:
            TimeoutError: the client does not read, and cannot come back either.
        """
        if not self.can_resume:
            await self._send(message)
            return
        async with self._lock:
            if seq is not None:
                self._remember(seq, message)
            await self._send(message)

    @property
    def _lock(self) -> asyncio.Lock:
        """Of sending: what was missed comes before what is new."""
        if self._own_lock is None:  # idle connections hold little
            self._own_lock = asyncio.Lock()
        return self._own_lock

    async def _send(self, message: Message) -> None:
        if self.is_lost:
            return
        transport = self._transport
        try:
            async with asyncio.timeout(SEND_SECONDS) as self._sending:
                await transport.send(message)
        except (ClientGone, TimeoutError):
            if not self._lose(transport):
                raise
        finally:
            self._sending = None

    async def close(self, code: int, reason: str) -> None:
        """End the session."""
        self.ended = code if code != CLOSE_SERVICE_RESTART else None
        if not self.is_lost:
            await self._transport.close(code, reason)

    def hand_over(self, take: AudioTaker) -> None:
        """Offer binary messages to `take` first, on this connection and all that follow."""
        self._take = take
        self._transport.hand_over(take)

    # -- connections that come and go

    @property
    def is_resumable(self) -> bool:
        """Whether a client may come back here, if it asks to."""
        return self._seconds > 0

    @property
    def can_resume(self) -> bool:
        """Whether this client may come back."""
        return self.is_resumable and self._asks_to_resume()

    @property
    def is_lost(self) -> bool:
        """Whether there is no connection now."""
        return self._lost_at is not None

    @property
    def has_successor(self) -> bool:
        """Whether another connection waits to be taken."""
        return self._successor is not None

    def _lose(self, transport: Transport) -> bool:
        """Give a connection up; return whether the client may come back on another."""
        if not self.can_resume or self.ended is not None:
            return False
        if transport is self._transport and self._lost_at is None:
            self._lost_at = asyncio.get_running_loop().time()
            self._dismiss(transport)
            self._wake()  # the reader may wait for a message of that connection
        return True

    async def lend(self, transport: Transport, have_seq: int) -> bool:
        """Give the session another connection, and wait until it needs that no more; return whether it was used."""
        released = self._lent[transport] = asyncio.get_running_loop().create_future()
        if self._successor is not None:  # of a client in a hurry, only the newest connection counts
            self._dismiss(self._successor[0])
        self._successor = (transport, have_seq)
        if self._sending is not None:
            self._sending.reschedule(0.0)
            self._sending = None
        self._wake()
        try:
            used: bool = await released
            return used
        finally:
            self._lent.pop(transport, None)

    async def take_successor(self) -> None:
        """Go on with the connection that was lent: tell its client what it may have missed."""
        async with self._lock:
            assert self._successor is not None
            (transport, have_seq), self._successor = self._successor, None
            if not self.is_lost:
                self._dismiss(self._transport)
            self._transport, self._lost_at = transport, None
            if self._take is not None:
                transport.hand_over(self._take)
            for message in self.told_after(have_seq):
                await self._send(message)

    def let_go(self) -> None:
        """The session is over: give back what was lent, and refer to nothing of it."""
        for transport, released in self._lent.items():
            if not released.done():
                released.set_result(self._successor is None or transport is not self._successor[0])
        self._successor = None
        self._asks_to_resume = (lambda: True) if self._asks_to_resume() else (lambda: False)
        self._wake = lambda: None
        self._take = None
        self._transport = _NOBODY

    def _dismiss(self, transport: Transport) -> None:
        """Close a connection that is not needed any more, and give it back if it was lent."""
        transport.hand_over(_refuse)
        farewell = asyncio.get_running_loop().create_task(self._say_farewell(transport))
        self._farewells.append(farewell)
        farewell.add_done_callback(self._farewells.remove)

    async def _say_farewell(self, transport: Transport) -> None:
        try:
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await transport.close(CLOSE_SERVICE_RESTART, "resume on another connection")
        except (TimeoutError, ClientGone):
            pass
        released = self._lent.get(transport)
        if released is not None and not released.done():
            released.set_result(True)

    # -- what may have to be told again

    def _remember(self, seq: int, message: Message) -> None:
        now = asyncio.get_running_loop().time()
        while self._remembered and self._remembered[0].at < now - REMEMBERED_SECONDS and not self.is_lost:
            self._forgotten = self._remembered.pop(0).seq
        self._remembered.append(_Remembered(now, seq, message))

    def remembers(self, have_seq: int) -> bool:
        """Whether a client with finals up to `have_seq` can be told all that it has missed."""
        return have_seq >= self._forgotten

    def told_after(self, have_seq: int) -> list[Message]:
        """Return what a client with finals up to `have_seq` may have missed."""
        return [each.message for each in self._remembered if each.seq > have_seq]


class _Nobody(Transport):
    """The transport of a session that is over: it can be found for a while yet, its connection is not kept for that."""

    async def receive(self) -> Message | InputEnded:
        raise ClientGone

    async def send(self, message: Message) -> None:
        raise ClientGone

    async def close(self, code: int, reason: str) -> None:
        raise ClientGone

    def hand_over(self, take: AudioTaker) -> None:
        pass


_NOBODY = _Nobody()


def _refuse(data: bytes) -> None:
    """Take no audio: of a connection whose place another has taken."""
