"""One request and its answer over an HTTP connection: uvicorn's cycle, but the connection decides when to close.

uvicorn closes the socket as soon as an answer is complete; with bytes of the client unread, that resets the connection
and destroys the answer. Runs in the task of its request.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias, cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gigastt.gateway.server.turns import Turns
from gigastt.gateway.server.waits import WriteRoom

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
        """Tell the application that its client is gone; the rest of its answer goes nowhere."""
        self.disconnected = True
        self.message_event.set()


class Line:
    """The transport that a cycle is given: to close it asks the connection to hang up, and nothing is written after."""

    __slots__ = ("_ended", "_hang_up", "_transport")

    def __init__(self, transport: asyncio.Transport, hang_up: Callable[[], None]) -> None:
        self._transport = transport
        self._hang_up: Callable[[], None] | None = hang_up
        self._ended = False

    def as_transport(self) -> asyncio.Transport:
        return cast("asyncio.Transport", self)

    def write(self, data: bytes) -> None:
        if not self.is_closing():
            self._transport.write(data)

    def is_closing(self) -> bool:
        return self._ended or self._transport.is_closing()

    def close(self) -> None:
        if self._hang_up is not None:
            self._hang_up()

    def end(self) -> None:
        """Write no more."""
        self._ended = True

    def let_go(self) -> None:
        """Forget the connection, which has ended."""
        self._ended = True
        self._hang_up = None


class Flow(FlowControl):
    """uvicorn's flow control, which pauses by leaving what was read in `turns`."""

    def __init__(self, transport: asyncio.Transport, turns: Turns) -> None:
        super().__init__(transport)
        self._is_writable_event = WriteRoom()  # type: ignore[assignment]
        self._turns = turns

    def pause_reading(self) -> None:
        self.read_paused = True

    def resume_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self._turns.wake()


def peer_of(transport: asyncio.Transport) -> Peer:
    """Return the state of the other end as the system knows it, also while nothing is being read.

    A peer that has closed its socket looks half closed until it is sent something, which it answers with a reset.
    """
    sock: Any = transport.get_extra_info("socket")
    if sock is None or transport.is_closing():
        return "gone"
    return _TCP_STATES.get(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0], "open")
