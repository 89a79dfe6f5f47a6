"""Connections: deadlines and bounds that uvicorn's protocols lack, for peers that are slow, silent or hostile.

    HttpConnection       request headers within 10 s and 64 KiB; a body that makes progress; answers that are read
    WebSocketConnection  two unanswered pings; messages in a bounded number of pieces; a close that arrives

One object per connection, run by the event loop's callbacks. They know bytes and deadlines, no route and no session.
What they answer themselves has the JSON shape of every other error.
"""

from __future__ import annotations

import asyncio
import email.utils
from http import HTTPStatus
from typing import Any, Literal, TypeAlias

from uvicorn._types import ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame
from websockets.http11 import Response
from websockets.server import ServerProtocol

from gigastt.errors import (
    BadRequest,
    HeadersTooLarge,
    InternalError,
    MethodNotAllowed,
    RequestError,
    RequestTimeout,
    UpgradeRequired,
)
from gigastt.gateway.responses import encode_json, error_fields

HEAD_SECONDS = 10.0
MAX_HEAD_BYTES = 64 * 1024
BODY_SECONDS = 30.0
LEAST_BODY_BYTES = 16 * 1024  # in every BODY_SECONDS: a phone on a bad line manages that, a dripping client does not
LINGER_SECONDS = 5.0  # for a client that is still sending when its answer is there: else a reset destroys the answer
UNREAD_SECONDS = 10.0
MAX_FRAGMENTS = 1_024
MISSED_PINGS = 2

Phase: TypeAlias = Literal["idle", "head", "body", "linger"]


class _ReadersDeadline:
    """Drop a peer that does not read what it is sent.

    `transport.close()` would wait until the peer has read what is buffered, that is, for ever.
    """

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _unread: asyncio.TimerHandle | None = None

    def watch_writing(self) -> None:
        """The write buffer is full."""
        self._unread = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def unwatch_writing(self) -> None:
        """It has room again, or the connection is gone."""
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


class HttpConnection(HttpToolsProtocol, _ReadersDeadline):
    """One HTTP connection.

    idle ─first byte→ head ─headers→ body ─last byte→ idle; body ─answered→ linger. Only `idle` has no deadline
    of ours: there uvicorn's keep-alive runs, or an answer is being made.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._phase: Phase = "idle"
        self._deadline: asyncio.TimerHandle | None = None
        self._received = 0
        super().__init__(config, server_state, app_state, _loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._enter("head", HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._enter("idle", None)
        self.unwatch_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._phase == "idle":
            self._enter("head", HEAD_SECONDS)
        self._received += len(data)
        super().data_received(data)
        if self._phase == "head" and self._received > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._cut(HeadersTooLarge(f"The request's headers are over {MAX_HEAD_BYTES} bytes."))

    def on_headers_complete(self) -> None:
        self._enter("body", BODY_SECONDS)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._enter("idle", None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self._phase == "body":
            self._enter("linger", LINGER_SECONDS)
        super().on_response_complete()

    def handle_websocket_upgrade(self) -> None:
        self._enter("idle", None)
        super().handle_websocket_upgrade()

    def _should_upgrade(self) -> bool:
        return self.scope["method"] == "GET" and super()._should_upgrade()

    def send_400_response(self, msg: str) -> None:
        self._cut(BadRequest("This is not a valid HTTP request."))

    def pause_writing(self) -> None:
        super().pause_writing()
        self.watch_writing()

    def resume_writing(self) -> None:
        self.unwatch_writing()
        super().resume_writing()

    def _enter(self, phase: Phase, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._phase = phase
        self._received = 0
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        self._deadline = None
        if self.flow.read_paused and self._phase != "linger":  # it is we who do not read
            self._enter(self._phase, HEAD_SECONDS if self._phase == "head" else BODY_SECONDS)
        elif self._phase == "body" and self._received >= LEAST_BODY_BYTES:
            self._enter("body", BODY_SECONDS)
        else:
            self._cut(RequestTimeout("The request was not finished in time."))

    def _cut(self, exc: RequestError) -> None:
        """Answer with an error where there is no answer yet, and hang up."""
        answering = self.cycle is not None and not self.cycle.response_complete and self.cycle.response_started
        answered = self._phase == "linger"
        self._enter("idle", None)
        if not answering and not answered:
            self.transport.write(_raw_answer(exc))
        self.transport.close()


class WebSocketConnection(WebSocketsSansIOProtocol, _ReadersDeadline):
    """One WebSocket connection, from its handshake on."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = _Handshake(max_size=config.ws_max_size, logger=self.logger)
        self.close_timeout = LINGER_SECONDS
        self._failed = False
        self._missed_pings = 0

    def connection_lost(self, exc: Exception | None) -> None:
        self.unwatch_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._missed_pings = 0  # a pong may wait behind seconds of audio: any byte shows that the peer is there
        if self._failed:
            return
        self.conn.receive_data(data)
        self.handle_events()
        if self.conn.parser_exc is not None and not self._failed:
            self.handle_parser_exception()
        elif not self.handshake_initiated:
            self._refuse_handshake()

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
        """Say why, then read on for a while and forget it: closing with unread bytes would reset the connection."""
        self._failed = True
        self.stop_keepalive()
        closed = self.conn.close_sent
        code, reason = (closed.code, closed.reason) if closed is not None else (CloseCode.ABNORMAL_CLOSURE, "")
        self.queue.put_nowait({"type": "websocket.disconnect", "code": int(code), "reason": reason})
        self.close_sent = True
        self.transport.write(b"".join(self.conn.data_to_send()))
        self._expect_close()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    async def send(self, message: ASGISendEvent) -> None:
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
        self.watch_writing()
        if not self.read_paused:  # its pings would be answered into a buffer nobody reads
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.unwatch_writing()
        super().resume_writing()
        if not self.read_paused:
            self.transport.resume_reading()

    def shutdown(self) -> None:
        """The server stops without having drained this session: going away."""
        if not self.handshake_complete or self.close_sent:
            super().shutdown()
            return
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
            self.transport.write(answer or _raw_answer(BadRequest("This is not a valid WebSocket handshake.")))
            self.transport.close()


class _Handshake(ServerProtocol):
    """The WebSocket protocol, refusing in JSON."""

    def reject(self, status: HTTPStatus | int, text: str) -> Response:
        response = super().reject(status, text)
        refusals: dict[int, RequestError] = {
            405: MethodNotAllowed("A WebSocket is opened with GET."),
            426: UpgradeRequired("This address speaks WebSocket: open it with a WebSocket client."),
            500: InternalError("Something went wrong inside the server."),
        }
        refusal = refusals.get(int(status), BadRequest("This is not a valid WebSocket handshake."))
        response.body = encode_json(error_fields(refusal))
        response.headers = Headers(
            {**_answer_headers(len(response.body)), **({"allow": "GET"} if refusal.status == 405 else {})}
        )
        return response


def _answer_headers(length: int) -> dict[str, str]:
    return {
        "date": email.utils.formatdate(usegmt=True),
        "content-type": "application/json",
        "content-length": str(length),
        "cache-control": "no-store",
        "vary": "Origin",
        "connection": "close",
    }


def _raw_answer(exc: RequestError) -> bytes:
    """Return a whole HTTP answer, for connections that never became a request."""
    body = encode_json(error_fields(exc))
    lines = [f"HTTP/1.1 {exc.status} {HTTPStatus(exc.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in _answer_headers(len(body)).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
