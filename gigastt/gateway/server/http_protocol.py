"""One HTTP connection: heads in time and within bounds, bodies that make progress, answers that are read.

uvicorn's protocol parses all that has arrived at once, pipelined requests included. Here one request is parsed at a
time, in pieces that never reach beyond its end:

    read → turns → pieces, each within one head or body → llhttp → cycle → application

The bytes behind a request wait, unparsed and bounded, until it is answered. A request whose end a proxy could see
elsewhere is refused and its connection closed; an upgrade to anything but WebSocket is ignored, as HTTP allows. One
object per connection, run by the event loop's callbacks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any, Final, Literal, TypeAlias

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gigastt.errors import BadRequest, HeadersTooLarge, RequestError, RequestTimeout
from gigastt.gateway.server.caps import PLACE, Place, Refusal
from gigastt.gateway.server.deadlines import ConnectionConfig, ReadersDeadline, raw_answer
from gigastt.gateway.server.framing import Framing, body_length, request_target
from gigastt.gateway.server.http_exchange import CONTINUE, Cycle, Flow, Line, peer_of
from gigastt.gateway.server.turns import TASK_SECONDS, Turns

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_HEADERS: Final = 256
BODY_BUFFER_BYTES: Final = 256 * 1024  # of a body that the application has not taken: as much as is read at once
LEAST_BODY_BYTES: Final = 16 * 1024  # in every `body` seconds: a phone on a bad line does, a dripping client does not

_SHUTDOWN_LINGER_SECONDS: Final = 0.5
_NO_PIPELINE: Final = deque[Any]()  # of all connections: requests wait in their bytes

Phase: TypeAlias = Literal["idle", "head", "body", "answer", "linger", "closing"]


class HttpConnection(ReadersDeadline, HttpToolsProtocol):
    """One HTTP connection.

    idle ─first byte→ head ─headers→ body ─last byte→ answer ─answered→ idle
                                      └─answered→ linger ─last byte→ idle
    any ─refused, or the last answer→ closing: input is dropped until the peer hangs up

    In `idle` uvicorn's keep-alive is the deadline; `answer` has none.
    """

    cycle: Cycle | None  # type: ignore[assignment]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        assert isinstance(config, ConnectionConfig)
        self.deadlines = config.deadlines
        self._rota = config.rota
        self._place: Place = app_state[PLACE]
        self._phase: Phase = "idle"
        self._deadline: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None  # runs the application for `cycle`
        self._received = 0  # in this phase: of a head all bytes, of a body those that are body
        self._framing = Framing()
        self._ended = False  # the client has said that it will send no more
        super().__init__(config, server_state, app_state, _loop)
        self.pipeline = _NO_PIPELINE

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.turns = Turns(self._rota, transport, self._parse, is_new=True)
        self.flow = Flow(transport, self.turns)
        self._line = Line(transport, self.hang_up)
        self._enter("head", self.deadlines.linger if self._place.refusal else self.deadlines.head)

    def connection_lost(self, exc: Exception | None) -> None:
        self._place.leave()
        super().connection_lost(exc)
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.abandon()
        self._let_go()

    def data_received(self, data: bytes) -> None:
        self.turns.receive(data)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client has closed its sending side: keep the connection if an answer is being made."""
        self._ended = True
        if self._phase == "body" or (self._phase == "head" and self._received):
            self._cut(BadRequest("The connection ended before the request did."))
        if self._phase != "answer" or not self.transport.can_write_eof():  # TLS ends both ways at once
            return False
        assert self.cycle is not None
        self.cycle.keep_alive = False
        self._watch_peer()
        return True

    def hang_up(self) -> None:
        """Close; if the client may still be sending, only after it has had time to read its answer."""
        if self._phase == "closing":
            return
        self._line.end()
        # TLS cannot end one way only: a client that waits for the end would wait for ours to be given up.
        is_read = self._phase == "idle" or (self._phase == "answer" and not self.transport.can_write_eof())
        if self._ended or (is_read and not self.turns.waiting):
            self._enter("closing", None)
            self.transport.close()
        elif not self.transport.is_closing():
            self._enter("closing", self.deadlines.linger)
            if self.transport.can_write_eof():
                with contextlib.suppress(OSError):  # asyncio's own transport tells of a peer that has gone meanwhile
                    self.transport.write_eof()
            self.turns.wake()

    def shutdown(self) -> None:
        """The drain is over: cancel the request that still runs, which answers `shutting_down`."""
        if self._phase == "closing":
            self._enter("closing", _SHUTDOWN_LINGER_SECONDS)
        else:
            super().shutdown()
            if self._task is not None:
                self._task.cancel()

    # Bytes

    def _parse(self, data: bytes, offset: int) -> int:
        """Parse the next piece, and return the offset behind it; see `turns.Step`."""
        if self._phase == "closing" or self.transport.is_closing():
            return len(data)
        if self._phase == "answer":
            self._watch_peer()  # nothing is read meanwhile, so nobody else would hear that the client has gone
            return offset
        if self.flow.read_paused:
            return offset
        if self._phase == "idle":
            self._unset_keepalive_if_required()
            self._enter("head", self.deadlines.head)
        end = self._framing.next_piece(data, offset)
        if self._phase == "head":
            self._received += end - offset
            if self._received > MAX_HEAD_BYTES:
                self._cut(HeadersTooLarge(f"The request's headers are over {MAX_HEAD_BYTES} bytes."))
                return len(data)
        in_chunks = self._phase in ("body", "linger") and not self._framing.by_length
        before = self._framing.body_bytes
        try:
            self.parser.feed_data(data if end - offset == len(data) else data[offset:end])
            if in_chunks:
                self._framing.pay(end - offset, self._framing.body_bytes - before)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self._upgrade(early=end < len(data))
            else:
                self._ignore_upgrade()
        except (httptools.HttpParserError, RequestError) as exc:
            self._refuse(exc)
        return end

    # What the parser finds

    def on_message_begin(self) -> None:
        if self._phase != "head":
            raise BadRequest("Expected the end of one request before the next.")
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase != "head":
            return  # trailers: nobody reads them, and they must not pass for headers
        if len(self.headers) >= MAX_HEADERS:
            raise HeadersTooLarge(f"The request has over {MAX_HEADERS} headers.")
        super().on_header(name, value.rstrip(b" \t"))

    def on_headers_complete(self) -> None:
        """Start the application; an upgrade is handled when the parser stops for it."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        self.scope["method"] = method.decode("ascii")
        self.scope["http_version"] = version
        if self.parser.should_upgrade():
            return
        self._framing.begin_body(body_length(self.headers, version))
        target = request_target(self.url, self.headers)
        self.scope["path"] = self.root_path + target.path
        self.scope["raw_path"] = self.root_path.encode("ascii") + target.raw_path
        self.scope["query_string"] = target.query
        self._enter("body", self.deadlines.body)
        self.cycle = Cycle(
            scope=self.scope,
            transport=self._line.as_transport(),
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue and version == "1.1",
            keep_alive=version == "1.1" and self.parser.should_keep_alive() and self._refusal is None,
            on_response=self.on_response_complete,
        )
        self._rota.spend(TASK_SECONDS)
        self._task = task = self.loop.create_task(self.cycle.run_asgi(self.app))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def on_body(self, body: bytes) -> None:
        self._received += len(body)
        self._framing.body_bytes += len(body)
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) >= BODY_BUFFER_BYTES:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._framing.end_message()
        self._enter("idle" if self._phase == "linger" else "answer", None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._task = None
        if self._phase == "closing":
            return
        if self._phase == "body":
            self._enter("linger", self.deadlines.linger)
        elif self._phase == "answer":
            self._enter("idle", None)
        super().on_response_complete()
        self.turns.wake()

    # Upgrades

    def _should_upgrade(self) -> bool:
        return self.scope["method"] == "GET" and self.scope["http_version"] == "1.1" and super()._should_upgrade()

    def _upgrade(self, *, early: bool) -> None:
        """Hand the connection to a WebSocket, unless the client has sent bytes behind its handshake."""
        if early:
            self._cut(BadRequest("A WebSocket client must wait for the answer to its handshake."))
            return
        self._enter("idle", None)
        self._unset_keepalive_if_required()
        self._let_go()
        self.handle_websocket_upgrade()

    def _ignore_upgrade(self) -> None:
        """Parse the head again without its upgrade: the parser would take the body for another protocol."""
        if self.scope["method"] == "CONNECT":
            self._cut(BadRequest("This server is no proxy."))
            return
        head = [b"%s %s HTTP/%s\r\n" % (self.scope["method"].encode(), self.url, self.scope["http_version"].encode())]
        head += [b"%s: %s\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        try:
            self.parser.feed_data(b"".join(head) + b"\r\n")
        except httptools.HttpParserError as exc:
            self._refuse(exc)

    # Time

    def _enter(self, phase: Phase, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._phase = phase
        self._received = 0
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        self._deadline = None
        if self._phase in ("linger", "closing"):
            self._enter("closing", None)
            self.transport.abort()
        elif self.flow.read_paused or self.turns.waiting:  # the server has not read
            self._enter(self._phase, self.deadlines.head if self._phase == "head" else self.deadlines.body)
        elif self._phase == "body" and self._received >= LEAST_BODY_BYTES:
            self._enter("body", self.deadlines.body)
        else:
            self._cut(self._refusal() if self._refusal else RequestTimeout("The request was not finished in time."))

    def _watch_peer(self) -> None:
        """While an answer is made and nothing is read: check now and then that the client is still there."""
        if self._watch is None:
            self._watch = self.loop.call_later(self.deadlines.probe, self._look_at_peer)

    def _look_at_peer(self, probed: bool = False) -> None:
        self._watch = None
        if self._phase != "answer" or self.cycle is None:
            return
        peer = peer_of(self.transport)
        if peer == "gone":
            self.transport.abort()
            return
        if peer == "half_closed" and not (probed or self.cycle.response_started):
            probed = True
            if self.scope["http_version"] == "1.1":
                self.transport.write(CONTINUE)  # a client that has gone answers with a reset
        self._watch = self.loop.call_later(self.deadlines.probe, self._look_at_peer, probed)

    # Ends

    @property
    def _refusal(self) -> Refusal | None:
        return self._place.refusal

    def _refuse(self, exc: Exception) -> None:
        """Refuse a request that cannot be parsed, with the error that a callback of the parser raised, if one did."""
        for cause in (exc, exc.__context__):
            if isinstance(cause, RequestError):
                self._cut(cause)
                return
        self._cut(BadRequest("This is not a valid HTTP request."))

    def _cut(self, exc: RequestError) -> None:
        """Answer with an error where there is no answer yet, and hang up."""
        open_exchange = self.cycle if self.cycle is not None and not self.cycle.response_complete else None
        if self._phase == "head" or (open_exchange is not None and not open_exchange.response_started):
            self.transport.write(raw_answer(exc))
        if open_exchange is not None:
            open_exchange.abandon()
        if self._phase == "head" and not self._received:
            self._enter("idle", None)  # a silent client sends nothing that a close could cut off
        self.hang_up()

    def _let_go(self) -> None:
        """Drop every reference that leads back here, so that the connection is freed without the collector."""
        self._enter("idle", None)
        self._unset_keepalive_if_required()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self.turns.close()
        self.parser = None  # type: ignore[assignment]
        self._line.let_go()
        self._task = None
        if self.cycle is not None:
            self.cycle.on_response = lambda: None
