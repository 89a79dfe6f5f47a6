"""One WebSocket connection: pings, bounds, refusals in JSON, and a close that arrives.

Over uvicorn's protocol, which drops a client's last messages when one after them is broken, resets connections it
means to close, and waits for ever for a peer that does not read. One object per connection, run by the event loop's
callbacks; knows frames and time, no session.

    bytes ─┬─ one whole binary frame, and a taker that accepts it ──────────────→ taker(payload)
           └─ all else ─→ websockets' parser ─→ queue ─→ task of the application ─→ receive()

The short way does for a microphone's frames, hundreds a second, what the long one does at several times the cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeAlias

from uvicorn._types import ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from gigastt.errors import BadRequest, HeadersTooLarge, InternalError, MethodNotAllowed, RequestError, UpgradeRequired
from gigastt.gateway.connections import PLACE, Place
from gigastt.gateway.deadlines import ConnectionConfig, ReadersDeadline, answer_headers, raw_answer
from gigastt.gateway.responses import encode_json, error_fields

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

MAX_FRAGMENTS = 1_024
MISSED_PINGS = 2
TAKER = "set_taker"  # in the state of the ASGI scope: a function that sets the connection's taker

Taker: TypeAlias = Callable[[bytes], bool]  # is offered a binary message; False if it has to go through `receive`


class WebSocketConnection(ReadersDeadline, WebSocketsSansIOProtocol):
    """One WebSocket connection, from its handshake on."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        assert isinstance(config, ConnectionConfig)
        self.deadlines = config.deadlines
        super().__init__(config, server_state, app_state, _loop)
        self.conn: _Protocol = _Protocol(max_size=config.ws_max_size, logger=self.logger)
        self.close_timeout = self.deadlines.linger
        self._failed = False
        self._missed_pings = 0
        self._most_bytes = config.ws_max_size
        self._taker: Taker | None = None
        self._place: Place | None = app_state.get(PLACE)  # taken by the HTTP connection this one was

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["state"][TAKER] = self._set_taker

    def _set_taker(self, taker: Taker) -> None:
        self._taker = taker

    def connection_lost(self, exc: Exception | None) -> None:
        self._taker = None
        if self._place is not None:
            self._place.leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._missed_pings = 0  # a pong may wait behind seconds of audio: any byte shows that the peer is there
        if self._failed or self._taken(data):
            return
        self.conn.between_frames = False
        self.conn.receive_data(data)
        self.handle_events()
        if self.conn.parser_exc is not None and not self._failed:
            self.handle_parser_exception()
        elif not self.handshake_initiated:
            self._refuse_handshake()

    def _taken(self, data: bytes) -> bool:
        """Offer the taker what came if it is one whole binary message, and nothing before it is still on its way."""
        if self._taker is None or not self.conn.between_frames or self.frames or not self.queue.empty():
            return False
        # final and binary, masked, with a length of 16 bits
        if data[:2] != b"\x82\xfe" or not len(data) - 8 == int.from_bytes(data[2:4]) <= self._most_bytes:
            return False
        return self._taker(apply_mask(data[8:], data[4:8]))

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= MAX_FRAGMENTS:
            self._fail(CloseCode.POLICY_VIOLATION)
        else:
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not _is_utf8(b"".join(self.frames)):
            self._fail(CloseCode.INVALID_DATA)
        elif not self._failed:
            super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Say why, then forget what else comes until the peer hangs up: closing with unread bytes would reset it."""
        self._failed = True
        self.stop_keepalive()
        closed = self.conn.close_sent
        code, reason = (closed.code, closed.reason) if closed is not None else (CloseCode.ABNORMAL_CLOSURE, "")
        self.queue.put_nowait({"type": "websocket.disconnect", "code": int(code), "reason": reason})
        self.close_sent = True
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.write_eof()
        self._expect_close()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    async def run_asgi(self) -> None:
        await super().run_asgi()
        if not self.writable.is_set():  # whoever ran the session has given the peer up
            self.transport.abort()

    async def send(self, message: ASGISendEvent) -> None:
        if self._failed:
            raise ClientDisconnected
        await super().send(message)
        if message["type"] == "websocket.close" and self.close_timer is not None:
            self._expect_close()

    def keepalive_timeout(self) -> None:
        self.pong_timer = None
        if not self.read_paused:
            self._missed_pings += 1
        if self._missed_pings >= MISSED_PINGS:
            self.transport.abort()
        else:
            self.send_keepalive_ping()

    def pause_writing(self) -> None:
        super().pause_writing()
        if not self.read_paused:  # its pings would be answered into a buffer nobody reads
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.read_paused:
            self.transport.resume_reading()

    def shutdown(self) -> None:
        """The server stops without having drained this session: going away."""
        if not self.handshake_complete or self.close_sent:
            super().shutdown()
            return
        self._failed = True
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1001})
        self.conn.send_close(CloseCode.GOING_AWAY)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()

    def _fail(self, code: CloseCode) -> None:
        if not self._failed and not self.close_sent:
            self.conn.fail(code)
            self.frames = []
            self.handle_parser_exception()

    def _expect_close(self) -> None:
        """Wait for the peer to hang up, but not for ever."""
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)

    def _refuse_handshake(self) -> None:
        """Answer a handshake that websockets could not even read; uvicorn would leave it hanging."""
        if self.conn.handshake_exc is not None and not self.transport.is_closing():
            self.handshake_complete = self.close_sent = True
            answer = b"".join(self.conn.data_to_send())
            self.transport.write(answer or raw_answer(BadRequest("This is not a valid WebSocket handshake.")))
            self.transport.close()


class _Protocol(ServerProtocol):
    """The WebSocket protocol, refusing in JSON.

    between_frames: whether all bytes so far made whole frames; whoever feeds it sets that to False.
    """

    between_frames = False

    def recv_frame(self, frame: Frame) -> None:
        super().recv_frame(frame)
        self.between_frames = not self.reader.buffer

    def reject(self, status: HTTPStatus | int, text: str) -> Response:
        response = super().reject(status, text)
        refusals: dict[int, RequestError] = {
            405: MethodNotAllowed("A WebSocket is opened with GET."),
            426: UpgradeRequired("This address speaks WebSocket: open it with a WebSocket client."),
            431: HeadersTooLarge("The request's headers are too many or too long for a WebSocket handshake."),
            500: InternalError("Something went wrong inside the server."),
        }
        refusal = refusals.get(int(status), BadRequest("This is not a valid WebSocket handshake."))
        response.status_code, response.reason_phrase = refusal.status, HTTPStatus(refusal.status).phrase
        response.body = encode_json(error_fields(refusal))
        response.headers = Headers(
            {**answer_headers(len(response.body)), **({"allow": "GET"} if refusal.status == 405 else {})}
        )
        return response


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
