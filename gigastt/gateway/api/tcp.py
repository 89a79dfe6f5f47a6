"""TCP as a transport of conversations, for protocols without HTTP, each on a listener of its own.

    bytes ─→ turns ─→ framing ─┬─ audio that the taker accepts ─→ taker(audio)
                               └─ all else ─→ queue ─→ receive()

A connection has the caps and the rate of its address as requests do, its share of the loop (`server/turns`), and an
end that arrives. One object a connection, run by the loop's callbacks, with one task that its endpoint runs in.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, Protocol, TypeAlias

from uvicorn.server import ServerState

from gigastt.errors import RateLimited, RequestError, Unauthorized
from gigastt.gateway.access.addresses import AddressRange, client_address, is_among, rate_key
from gigastt.gateway.api.conversation import CLOSE_NORMAL, CLOSE_PROTOCOL_ERROR
from gigastt.gateway.api.dialect import Message
from gigastt.gateway.api.transport import AudioTaker, InputEnded
from gigastt.gateway.context import AppContext
from gigastt.gateway.requests import ClientGone, Exchange
from gigastt.gateway.server.caps import Place
from gigastt.gateway.server.deadlines import ConnectionConfig, ReadersDeadline
from gigastt.gateway.server.listener import ConnectionFactory
from gigastt.gateway.server.turns import Turns
from gigastt.log import bound_fields, get_logger

log = get_logger(__name__)

STEP_BYTES: Final = 4096  # are cut at a time: some hundred microseconds where messages are short


class BrokenStream(Exception):
    """The bytes are none of the protocol's, and nobody can tell where its next message begins."""


class StreamFraming(Protocol):
    """How one connection's bytes are messages, and messages bytes."""

    def cut(self, data: bytes) -> Iterable[Message]:
        """Yield the messages that end in `data`, which follows the data of the last call.

        Binary ones are audio as it is, if the dialect's `frames_are_audio` says so. Holds back only what is bounded.

        Raises:
            BrokenStream: no more can be cut.
        """
        ...

    def frame(self, message: Message) -> bytes:
        """Return a message as it is sent."""
        ...


TcpEndpoint: TypeAlias = "Callable[[TcpConnection, AppContext, Exchange], Awaitable[None]]"


def listen_for(
    protocol: str,
    endpoint: TcpEndpoint,
    framing_of: Callable[[], StreamFraming],
    context: AppContext,
    allowed: Sequence[AddressRange] | None = None,
    turn_away: Callable[[TcpConnection, AppContext, RequestError], Awaitable[None]] | None = None,
) -> ConnectionFactory:
    """Return what makes the connections of a listener, for `Server`.

    Args:
        protocol: its name in the log.
        endpoint: serves one connection; it is closed when that returns.
        framing_of: makes the framing of a connection.
        context: of the server.
        allowed: networks whose clients may connect; None: any.
        turn_away: is given a connection beyond the rate of its address, before it is closed.
    """

    async def serve(connection: TcpConnection) -> None:
        address = client_address(connection.peer, (), ())
        exchange = Exchange(secrets.token_hex(8), client=rate_key(address), address=str(address))
        with bound_fields(request_id=exchange.request_id):
            try:
                if allowed is not None and not is_among(allowed, address):
                    raise Unauthorized("No connections from this network.")
                if context.rate_limiter.take(rate_key(address), context.clock()) > 0:
                    context.metrics.rate_limit_rejections.inc()
                    error = RateLimited("Too many connections from this address.")
                    if turn_away is not None:
                        await turn_away(connection, context, error)
                    raise error
                await endpoint(connection, context, exchange)
            except ClientGone:
                pass
            except RequestError as exc:
                log.warning("connection_refused", protocol=protocol, client=exchange.address, code=exc.code)
            except Exception:  # the border of a connection
                log.exception("connection_failed", protocol=protocol)

    return lambda config, state, place: TcpConnection(config, state, place, framing_of(), serve)


class TcpConnection(ReadersDeadline):
    """One connection; a `Transport`."""

    def __init__(
        self,
        config: ConnectionConfig,
        state: ServerState,
        place: Place,
        framing: StreamFraming,
        serve: Callable[[TcpConnection], Awaitable[None]],
    ) -> None:
        self.peer: str | None = None
        self.loop = asyncio.get_running_loop()
        self.deadlines = config.deadlines
        self._config = config
        self._state = state
        self._framing = framing
        self._serve = serve
        self._turns: Turns
        self._place = place
        self._queue: deque[Message] = deque()
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._taker: AudioTaker | None = None
        self._end: InputEnded | None = None
        self._end_told = False
        self._gone = False
        self._closing: asyncio.TimerHandle | None = None

    # -- the port

    async def receive(self) -> Message | InputEnded:
        """Wait for the next message; once, at the end of the input, for that."""
        while not self._queue:
            if self._gone:
                raise ClientGone
            if self._end is not None and not self._end_told and not self._turns.waiting:
                self._end_told = True
                return self._end
            self._news.clear()
            await self._news.wait()
        message = self._queue.popleft()
        if not self._queue:
            self._turns.wake()
        return message

    async def send(self, message: Message) -> None:
        """Send a message; wait while the client does not read."""
        await self._writable.wait()
        if self._gone or self._closing is not None:
            raise ClientGone
        self.transport.write(self._framing.frame(message))

    async def close(self, code: int, reason: str) -> None:
        """Hang up; TCP has no codes."""
        self.hang_up()

    def hand_over(self, take: AudioTaker) -> None:
        """Let the connection offer audio to `take` first."""
        self._taker = take

    # -- the end

    def hang_up(self) -> None:
        """Send what is written and close; a client that goes on sending is read for a while, lest it gets a reset."""
        if self._gone or self._closing is not None:
            return
        self._turns.close()
        if not self._writable.is_set():
            self.transport.abort()
        elif self._end is not None or not self.transport.can_write_eof():
            self.transport.close()
        else:
            self._closing = self.loop.call_later(self.deadlines.linger, self.transport.abort)
            with suppress(OSError):  # asyncio's own transport tells of a peer that has gone meanwhile
                self.transport.write_eof()

    def shutdown(self) -> None:
        """The server stops before the endpoint has ended."""
        self.transport.close()

    # -- called by the loop

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvloop's is none
        super().connection_made(transport)
        self.transport = transport
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if peer else None
        self._turns = Turns(self._config.rota, self.transport, self._step)
        if self._place.refusal is not None:
            self.transport.abort()
            return
        self._state.connections.add(self)  # type: ignore[arg-type]  # uvicorn calls nothing of it but `shutdown`
        task = self.loop.create_task(self._run())
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    async def _run(self) -> None:
        try:
            await self._serve(self)
        finally:
            self.hang_up()

    def data_received(self, data: bytes) -> None:
        self._turns.receive(data)

    def _step(self, data: bytes, offset: int) -> int:
        """Cut a little; none while messages wait."""
        if self._queue:
            return offset
        end = min(offset + STEP_BYTES, len(data))
        try:
            for message in self._framing.cut(data[offset:end]):
                if self._queue or not self._is_taken(message):
                    self._queue.append(message)
        except BrokenStream as exc:
            log.info("stream_broken", reason=str(exc))
            self._turns.close()
            self._end_input(CLOSE_PROTOCOL_ERROR)
        self._news.set()
        return end

    def _is_taken(self, message: Message) -> bool:
        if not isinstance(message, bytes) or self._taker is None or (answers := self._taker(message)) is None:
            return False
        for answer in answers:
            self.transport.write(self._framing.frame(answer))
        return True

    def eof_received(self) -> bool:
        """The client sends no more; keep our side while results may be on their way to it."""
        self._end_input(CLOSE_NORMAL)
        return self._closing is None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writable.clear()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._gone = True
        self._taker = None
        self._turns.close()
        self._place.leave()
        if self._closing is not None:
            self._closing.cancel()
        self._state.connections.discard(self)
        self._writable.set()
        self._news.set()

    def _end_input(self, close_code: int) -> None:
        if self._end is None:
            self._end = InputEnded(close_code)
            self._news.set()
