"""One HTTP connection: request headers in time and within bounds, a body that makes progress, answers that are read.

uvicorn's protocol has none of these deadlines. One object per connection, run by the event loop's callbacks; knows
bytes and time, no route. What it answers itself has the JSON shape of every other error.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal, TypeAlias

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gigastt.errors import BadRequest, HeadersTooLarge, RequestError, RequestTimeout
from gigastt.gateway.connections import PLACE, Place, Refusal
from gigastt.gateway.deadlines import ConnectionConfig, ReadersDeadline, raw_answer

MAX_HEAD_BYTES = 64 * 1024
LEAST_BODY_BYTES = 16 * 1024  # in every `body` seconds: a phone on a bad line manages that, a dripping client does not

Phase: TypeAlias = Literal["idle", "head", "body", "linger"]


class HttpConnection(ReadersDeadline, HttpToolsProtocol):
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
        assert isinstance(config, ConnectionConfig)
        self.deadlines = config.deadlines
        self._connections = config.connections
        self._place: Place | None = None
        self._phase: Phase = "idle"
        self._deadline: asyncio.TimerHandle | None = None
        self._received = 0
        super().__init__(config, server_state, app_state, _loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._place = self._connections.enter(self.client[0] if self.client else None)
        if self._place is None:
            transport.abort()
            return
        self.app_state = {**self.app_state, PLACE: self._place}
        self._enter("head", self.deadlines.linger if self._place.refusal else self.deadlines.head)

    def connection_lost(self, exc: Exception | None) -> None:
        self._enter("idle", None)
        if self._place is not None:
            self._place.leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._phase == "idle":
            self._enter("head", self.deadlines.head)
        self._received += len(data)
        super().data_received(data)
        if self._phase == "head" and self._received > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._cut(HeadersTooLarge(f"The request's headers are over {MAX_HEAD_BYTES} bytes."))

    def on_headers_complete(self) -> None:
        self._enter("body", self.deadlines.body)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._enter("idle", None)
        super().on_message_complete()
        if self._refusal is not None and self.cycle is not None:
            self.cycle.keep_alive = False
            if self.cycle.response_complete:
                self.transport.close()

    def on_response_complete(self) -> None:
        if self._phase == "body":
            self._enter("linger", self.deadlines.linger)
        super().on_response_complete()

    def handle_websocket_upgrade(self) -> None:
        self._enter("idle", None)
        super().handle_websocket_upgrade()

    def _should_upgrade(self) -> bool:
        return self.scope["method"] == "GET" and super()._should_upgrade()

    def send_400_response(self, msg: str) -> None:
        self._cut(BadRequest("This is not a valid HTTP request."))

    def _enter(self, phase: Phase, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._phase = phase
        self._received = 0
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        self._deadline = None
        if self.flow.read_paused and self._phase != "linger":  # it is we who do not read
            self._enter(self._phase, self.deadlines.head if self._phase == "head" else self.deadlines.body)
        elif self._phase == "body" and self._received >= LEAST_BODY_BYTES:
            self._enter("body", self.deadlines.body)
        else:
            self._cut(self._refusal() if self._refusal else RequestTimeout("The request was not finished in time."))

    @property
    def _refusal(self) -> Refusal | None:
        return self._place.refusal if self._place is not None else None

    def _cut(self, exc: RequestError) -> None:
        """Answer with an error where there is no answer yet, and hang up."""
        answering = self.cycle is not None and not self.cycle.response_complete and self.cycle.response_started
        answered = self._phase == "linger"
        self._enter("idle", None)
        if not answering and not answered:
            self.transport.write(raw_answer(exc))
        self.transport.close()
