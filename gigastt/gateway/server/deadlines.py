"""Deadlines: how long a peer may take, and the raw answer to one whose connection never became a request.

Shared by `http_protocol` and `ws_protocol`; runs on the event loop.
"""

from __future__ import annotations

import asyncio
import email.utils
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.types import ASGIApp
from uvicorn.config import Config

from gigastt.errors import RequestError
from gigastt.gateway.responses import error_fields, json_text
from gigastt.gateway.server.turns import Rota

MOST_UNSENT_BYTES = 1024  # beyond what the system takes at once; then the application waits
LEAST_READ_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a peer may take, in seconds.

    Attributes:
        head: for a request's headers, from its first byte (or from the connection's beginning).
        body: for the next `LEAST_BODY_BYTES` of a body.
        linger: to stop sending once its answer is there; closing earlier would reset the connection and destroy it.
        probe: between two looks at a client that waits for its answer and sends nothing more.
        unread: to read its data, or `LEAST_READ_BYTES` of it, once no more fits into the connection.
        ping: between two pings of a quiet WebSocket.
        busy_ping: between a pong and the next ping, where anything is sent.
        pong: to answer a ping, while data of the peer arrives. With `busy_ping` this is less than 10 s.
    """

    head: float = 10.0
    body: float = 30.0
    linger: float = 5.0
    unread: float = 4.0  # with one look in vain before: 8 s in all
    ping: float = 20.0
    probe: float = 2.0
    busy_ping: float = 3.0
    pong: float = 6.0


class ConnectionConfig(Config):
    """uvicorn's configuration, with what all connections of a server share."""

    def __init__(self, app: ASGIApp, deadlines: Deadlines, **options: Any) -> None:
        self.deadlines = deadlines
        self.rota = Rota()
        super().__init__(app, ws_ping_interval=deadlines.ping, ws_ping_timeout=deadlines.ping, **options)


class ReadersDeadline(asyncio.Protocol):
    """Drop a peer that does not read; to be mixed into a protocol of uvicorn's, before it.

    `transport.close()` alone would wait for ever until the peer has read what is buffered.
    """

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    deadlines: Deadlines
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transport.set_write_buffer_limits(high=MOST_UNSENT_BYTES)
        super().connection_made(transport)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reading(self.transport.get_write_buffer_size())

    def _expect_reading(self, left: int) -> None:
        self._unread = self.loop.call_later(self.deadlines.unread, self._look_at_unread, left)

    def _look_at_unread(self, left: int) -> None:
        """Give more time to a peer that reads slowly: a long answer over a bad line."""
        still = self.transport.get_write_buffer_size()
        if still <= left - LEAST_READ_BYTES:
            self._expect_reading(still)
        else:
            self._forget_unread()
            self.transport.abort()

    def resume_writing(self) -> None:
        self._forget_unread()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_unread()
        super().connection_lost(exc)

    def _forget_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


def answer_headers(length: int) -> dict[str, str]:
    """Return the headers of an answer in JSON, `length` bytes long, after which the connection closes."""
    return {
        "date": email.utils.formatdate(usegmt=True),
        "content-type": "application/json",
        "content-length": str(length),
        "cache-control": "no-store",
        "vary": "Origin",
        "connection": "close",
    }


def raw_answer(exc: RequestError) -> bytes:
    """Return a whole HTTP answer, for connections that never became a request."""
    body = json_text(error_fields(exc)).encode()
    lines = [f"HTTP/1.1 {exc.status} {HTTPStatus(exc.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in answer_headers(len(body)).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
