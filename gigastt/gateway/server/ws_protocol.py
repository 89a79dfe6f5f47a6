"""One WebSocket connection: its share of the loop, pings, bounds, refusals in JSON, and a close that arrives.

uvicorn's protocol parses all that has arrived at once, drops a client's last messages when a broken one follows, and
waits for ever for a peer that does not read. One object per connection, run by the loop's callbacks.

    bytes ─┬─ one whole binary frame, and a taker that accepts it ──────────────────────────→ taker(payload)
           └─ all else ─→ turns ─one frame a step→ websockets' parser ─→ queue ─→ task of the application ─→ receive()

When a peer breaks the rules or shuts down its sending side, its input has ended, but results may be on their way to it.
An application with a taker gets a message with `INPUT_ENDED`, sends the rest and closes; any other gets a disconnect.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, cast

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.http11 import Request

from gigastt.errors import BadRequest
from gigastt.gateway.server import ws_frames
from gigastt.gateway.server.caps import PLACE, Place
from gigastt.gateway.server.deadlines import ConnectionConfig, ReadersDeadline, raw_answer
from gigastt.gateway.server.turns import TASK_SECONDS, Turns
from gigastt.gateway.server.waits import MessageQueue, WriteRoom
from gigastt.gateway.server.ws_frames import Allowance, FrameEdges, FrameProtocol, apply_mask
from gigastt.gateway.server.ws_keepalive import Keepalive, Reading

RECEIVE_BUFFER_BYTES: Final = 128 * 1024  # of the system; else it keeps megabytes for a client that sends ahead
TAKER: Final = "set_taker"  # in the state of the ASGI scope: a function that sets the connection's taker
INPUT_ENDED: Final = "input_ended"  # in a message of `receive`: no more comes, close with this code; sending goes on

Taker: TypeAlias = Callable[[bytes], Sequence[str | bytes] | None]  # a binary message's answers; None: not taken


class WebSocketConnection(ReadersDeadline, Keepalive, WebSocketsSansIOProtocol):
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
        self.reading = Reading(config.deadlines)
        super().__init__(config, server_state, app_state, _loop)
        self.queue: MessageQueue[ASGIReceiveEvent] = MessageQueue(config.rota.wake)  # type: ignore[assignment]
        self.writable: WriteRoom = WriteRoom()  # type: ignore[assignment]
        self.conn: FrameProtocol = FrameProtocol(max_size=config.ws_max_size, logger=self.logger)
        self.close_timeout = self.deadlines.linger
        self._most_bytes = config.ws_max_size
        self._rota = config.rota
        self._taker: Taker | None = None
        self._state: dict[str, Any] = {}  # of the scope, once there is one
        self._place: Place | None = app_state.get(PLACE)  # taken by the HTTP connection this one was
        self._frame = FrameEdges()
        self._queued_bytes = 0
        self._allowance = Allowance()
        self._waking: asyncio.TimerHandle | None = None
        self._failure: Close | None = None  # what to close with, where the peer broke a rule

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._turns = Turns(self._rota, self.transport, self._step)
        if (connected := transport.get_extra_info("socket")) is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if not self.handshake_initiated:
            self._shake_hands(data)
        elif not self._taken(data):
            self.conn.between_frames = False
            self._turns.receive(data)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The peer has shut down its sending side: keep ours while results may be on their way to it."""
        if self.close_sent or not self.handshake_initiated or not self.transport.can_write_eof():
            return False  # TLS ends both ways at once
        if not self.input_ended:
            self._end_input(CloseCode.NORMAL_CLOSURE)
        return True

    def _taken(self, data: bytes) -> bool:
        """Offer `data` to the taker if it is one whole binary frame, and no earlier bytes wait."""
        if self._taker is None or not self.conn.between_frames or self.frames or self.queue.messages:
            return False
        if data[:2] != b"\x82\xfe" or not len(data) - 8 == int.from_bytes(data[2:4]) <= self._most_bytes:
            return False  # not final and binary, masked, with a length of 16 bits
        answers = self._taker(apply_mask(data[8:], data[4:8]))
        if answers:
            self._send_answers(answers)
        return answers is not None

    def _step(self, data: bytes, offset: int) -> int:
        """Parse at most one frame; none while the application is behind or the peer over its rate."""
        if self._must_wait():
            if self._waking is None:  # being over its rate does not excuse a peer's late pong
                self.reading.hold(self.loop.time())
            return offset
        self.reading.release(self.loop.time())
        end = self._frame.end(data, offset)
        self.conn.receive_data(data[offset:end])
        self.handle_events()
        if self.conn.failure is not None and not self.input_ended:
            self._fail(self.conn.failure)
        return end

    def _must_wait(self) -> bool:
        if self.close_sent:  # only the peer's close frame is of interest
            return False
        if (
            not self.handshake_complete
            or self.input_ended
            or not self.writable.is_set()  # its pings would be answered into a buffer nobody reads
            or len(self.queue.messages) >= ws_frames.MOST_QUEUED_MESSAGES
            or self._queued_bytes >= ws_frames.MOST_QUEUED_BYTES
            or self._waking is not None
        ):
            return True
        if (delay := self._allowance.wait_until - self.loop.time()) > 0:
            self._waking = self.loop.call_later(delay, self._wake)
        return delay > 0

    def _wake(self) -> None:
        self._waking = None
        self._turns.wake()

    def _shake_hands(self, data: bytes) -> None:
        self.conn.receive_data(data)
        self.handle_events()
        if not self.handshake_initiated and self.conn.handshake_exc is not None and not self.transport.is_closing():
            self.handshake_complete = self.close_sent = True  # websockets could not read it, and may have no answer
            answer = b"".join(self.conn.data_to_send())
            self.transport.write(answer or raw_answer(BadRequest("This is not a valid WebSocket handshake.")))
            self.transport.close()

    # -- frames

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        event.headers.clear()  # the scope has them; websockets' parser keeps the request as long as the connection
        if not self.close_sent:
            self._rota.spend(TASK_SECONDS)
            self._state = self.scope["state"]
            self._state[TAKER] = self._set_taker

    def _set_taker(self, taker: Taker) -> None:
        self._taker = taker

    def handle_events(self) -> None:
        """Handle the parsed frames, up to the first that is over the peer's allowance."""
        for event in self.conn.events_received():
            if not isinstance(event, Frame):
                self.handle_connect(cast(Request, event))
            elif self.input_ended:
                return
            elif not self._allowance.take(event, self.loop.time()):
                self._fail(Close(CloseCode.POLICY_VIOLATION, "policy_violation"))
            else:
                match event.opcode:
                    case Opcode.BINARY:
                        self.handle_bytes(event)
                    case Opcode.TEXT:
                        self.handle_text(event)
                    case Opcode.CONT:
                        self.handle_cont(event)
                    case Opcode.PING:
                        self._flush()
                    case Opcode.PONG:
                        self.handle_pong(event)
                    case Opcode.CLOSE:
                        self.handle_close(event)

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= ws_frames.MAX_FRAGMENTS:
            self._fail(Close(CloseCode.POLICY_VIOLATION, "policy_violation"))
        else:
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.close_sent:
            return
        if self.curr_msg_data_type == "bytes":
            self.queue.put_nowait({"type": "websocket.receive", "bytes": data})
            self._queued_bytes += len(data)
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self._fail(Close(CloseCode.INVALID_DATA, "invalid_utf8"))
        else:
            self.queue.put_nowait({"type": "websocket.receive", "text": text})
            self._queued_bytes += len(text)

    def handle_close(self, event: Frame) -> None:
        """Answer the peer's close, or take its answer to ours."""
        if not self.close_sent:
            assert self.conn.close_rcvd is not None
            self.close_sent = True
            self._tell_disconnected(self.conn.close_rcvd.code, self.conn.close_rcvd.reason)
            self._flush()
        self._stop_timers()
        self._turns.close()
        self.transport.close()

    async def receive(self) -> ASGIReceiveEvent:
        message = await self.queue.get()
        if message["type"] == "websocket.receive":
            self._queued_bytes -= len(message.get("bytes") or message.get("text") or "")
        elif INPUT_ENDED in message and self._taker is not None:
            return cast(ASGIReceiveEvent, {**message, "type": "websocket.receive"})
        if not self.queue.messages:
            self._turns.wake()
        return message

    # -- bytes out

    async def send(self, message: ASGISendEvent) -> None:
        await self.writable.wait()
        if self.close_sent or self.disconnected or self.transport.is_closing():
            raise ClientDisconnected
        await super().send(message)
        if message["type"] == "websocket.accept":
            del self.response  # nobody looks at it again
        self._sent()

    def _sent(self) -> None:
        self.sent_any = True
        if not self.close_sent:
            self._turns.wake()  # after the upgrade frames may come
        elif self.close_timer is not None:
            self._await_end()

    async def run_asgi(self) -> None:
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except Exception:  # the border of a connection
            self.logger.exception("Exception in ASGI application")
        finally:
            self._end()

    def _end(self) -> None:
        """The application has returned: close as it and the peer have left the connection, and hang up."""
        if not self.writable.is_set():
            self.transport.abort()  # it has given the peer up
        elif not self.handshake_complete and not self.transport.is_closing():
            self.send_500_response()
            self.transport.close()
        elif self.input_ended and not self.close_sent and not self.transport.is_closing():
            close = self._failure or Close(CloseCode.NORMAL_CLOSURE, "")
            self.conn.send_close(close.code, close.reason)
            self.close_sent = True
            self._flush()
            self._await_end()
        elif self.close_timer is None:
            self.transport.close()

    def _await_end(self) -> None:
        """Our close frame is sent: read on until the peer hangs up, since closing with unread bytes sends a reset."""
        self._stop_timers()
        if self.input_ended:
            self._turns.close()  # nobody can tell where its next frame begins
        if self.input_ended and self._failure is None:  # it has hung up its side already
            self.transport.close()
            return
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)
        if self._failure is not None and self.transport.can_write_eof():
            with contextlib.suppress(OSError):  # the peer is gone, and the transport about to find out
                self.transport.write_eof()
        else:
            self._turns.wake()

    def _fail(self, close: Close) -> None:
        """End the input of a peer that broke a rule."""
        if self.close_sent:
            self._turns.close()  # further input is read and dropped until the peer hangs up, or for `linger`
        elif not self.input_ended:
            self._failure = close
            self.frames = []
            self._end_input(close.code, close.reason)

    def _end_input(self, code: int, reason: str = "") -> None:
        self.input_ended = True
        self.conn.parser_exc = None
        self._tell_disconnected(int(code), reason, **{INPUT_ENDED: int(code)})

    def _tell_disconnected(self, code: int, reason: str = "", **extra: int) -> None:
        message = {"type": "websocket.disconnect", "code": code, "reason": reason, **extra}
        self.queue.put_nowait(cast(ASGIReceiveEvent, message))

    def resume_writing(self) -> None:
        super().resume_writing()
        self._turns.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._place is not None:
            self._place.leave()
        super().connection_lost(exc)
        self._let_go()

    def _let_go(self) -> None:
        """Drop every reference that leads back here, so that the connection is freed without the collector."""
        self._stop_timers()
        self._turns.close()
        self._taker = None
        self.conn.let_go()
        self._state.pop(TAKER, None)

    def _stop_timers(self) -> None:
        self.stop_keepalive()
        if self._waking is not None:
            self._waking.cancel()
            self._waking = None
        if self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = None

    def shutdown(self) -> None:
        """The server stops before this session has ended: close with 1001."""
        if not self.handshake_complete or self.close_sent:
            super().shutdown()
            return
        self._tell_disconnected(CloseCode.GOING_AWAY)
        self.conn.send_close(CloseCode.GOING_AWAY)
        self.close_sent = True
        self._flush()
        self._stop_timers()
        self.transport.close()
