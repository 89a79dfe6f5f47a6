"""One request and its answer over an HTTP connection: uvicorn's cycle, ending as the connection wants it to end.

uvicorn closes the socket as soon as an answer is complete; with bytes of the client unread, that resets the connection
and destroys the answer. Here the connection decides (`hang_up`). Runs in the task of its request.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final, Literal, Protocol, TypeAlias, cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gigastt.gateway.server.turns import Turns

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

Peer: TypeAlias = Literal["open", "half_closed", "gone"]

_TCP_STATES: Final[dict[int, Peer]] = {7: "gone", 8: "half_closed"}  # TCP_CLOSE, TCP_CLOSE_WAIT of linux/tcp.h


class Cycle(RequestResponseCycle):
    """One request and its answer."""

    async def send(self, message: ASGISendEvent) -> None:
        if self.waiting_for_100_continue and not self.response_started:
            self.keep_alive = False  # the client may now send the body or not: what follows could be either
        await super().send(message)

    def abandon(self) -> None:
        """Tell the application that its client is gone; what it still sends goes nowhere."""
        self.disconnected = True
        self.message_event.set()


class Connection(Protocol):
    """What an exchange needs of its connection."""

    transport: asyncio.Transport

    def hang_up(self) -> None:
        """Close when the answer has been read."""
        ...


class Line:
    """The transport as an exchange sees it: closing it is the connection's business, and nothing is written after."""

    __slots__ = ("_connection", "_ended", "_transport")

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection
        self._transport = connection.transport
        self._ended = False

    def as_transport(self) -> asyncio.Transport:
        return cast("asyncio.Transport", self)

    def write(self, data: bytes) -> None:
        if not self.is_closing():
            self._transport.write(data)

    def is_closing(self) -> bool:
        return self._ended or self._transport.is_closing()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.hang_up()

    def end(self) -> None:
        """Write no more."""
        self._ended = True

    def let_go(self) -> None:
        """Forget the connection, which has ended."""
        self._ended = True
        self._connection = None


class Flow(FlowControl):
    """uvicorn's flow control, where reading is paused by not taking what was read."""

    def __init__(self, transport: asyncio.Transport, turns: Turns) -> None:
        super().__init__(transport)
        self._turns = turns

    def pause_reading(self) -> None:
        self.read_paused = True

    def resume_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self._turns.wake()


def peer_of(transport: asyncio.Transport) -> Peer:
    """Return what the system knows of the other end, also while nothing is being read.

    A peer that has closed its socket looks half closed until it is sent something: only then does it say so.
    """
    sock: Any = transport.get_extra_info("socket")
    if sock is None or transport.is_closing():
        return "gone"
    return _TCP_STATES.get(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0], "open")
