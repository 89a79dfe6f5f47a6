"""Live: the shell of `/v1/ws` around the client protocol.

Two tasks a session: one reads frames and carries out what the protocol says; one, from the first audio on, writes
what the session has to tell. Nothing is decided here but deadlines: every send has one, and a client that does not
read is dropped. An idle client has no state in any worker. A chunk of audio costs no task and no timer: while the
reader waits for a frame, the connection hands audio that needs no waiting straight to the session.
"""

from __future__ import annotations

import asyncio
import math
import uuid
from contextlib import AsyncExitStack

from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from gigastt.errors import RequestError
from gigastt.gateway.api import conversation as protocol
from gigastt.gateway.api import wire
from gigastt.gateway.api.gathering import Gatherer
from gigastt.gateway.api.intake import Intake
from gigastt.gateway.context import AppContext
from gigastt.gateway.pool.admission import Guest
from gigastt.gateway.pool.events import Event, ProgressEvent
from gigastt.gateway.pool.session import Session
from gigastt.gateway.requests import exchange_of
from gigastt.gateway.server.ws_protocol import INPUT_ENDED, TAKER
from gigastt.log import get_logger
from gigastt.transcript import Final, Partial

log = get_logger(__name__)

SEND_SECONDS = 5.0
CLOSE_SECONDS = 1.0
CLOSE_INTERNAL = 1011


class SlowConsumer(Exception):
    """The client does not read what it is sent."""


async def run_live(websocket: WebSocket, context: AppContext) -> None:
    """Run one client's session, from before its upgrade is accepted to its close."""
    connection = LiveConnection(websocket, context)
    listeners = context.pool.drain_listeners
    listeners.add(connection.wake)
    try:
        await connection.run()
    finally:
        listeners.discard(connection.wake)


class LiveConnection:
    """One client."""

    def __init__(self, websocket: WebSocket, context: AppContext) -> None:
        limits = context.limits
        self._websocket = websocket
        self._context = context
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._exchange = exchange_of(websocket.scope)
        self._protocol = protocol.ClientProtocol(
            idle_timeout_secs=limits.idle_timeout_secs,
            max_session_secs=limits.max_session_secs,
            max_frame_bytes=limits.ws_frame_max_bytes,
            now=self._loop.time(),
        )
        self._guest = Guest(self._exchange.client, self._ask_to_leave)
        self._must_leave = False
        self._early: Message | None = None  # a frame that came while the client waited for a place
        self._session: Session | None = None
        self._intake: Intake | None = None
        self._tasks: asyncio.TaskGroup
        self._scope: asyncio.Timeout | None = None  # what the reader waits in, so that it can be woken
        self._woken = False
        self._listening = False  # the reader waits for a frame, and has dealt with all before it
        self._alarm: asyncio.TimerHandle | None = None
        self._over = False
        self._closed = False  # nothing may be sent any more
        self._close_code = CLOSE_INTERNAL
        self._next_seq = 0
        self._gatherer = Gatherer()

    def wake(self) -> None:
        """Make the reader look up: the server drains, the protocol's deadline has come, or the writer is done."""
        self._woken = True
        if self._scope is not None:
            self._scope.reschedule(self._loop.time())
            self._scope = None

    async def run(self) -> None:
        """Admit the client, serve it, and clean up."""
        try:
            await self._websocket.accept(subprotocol=self._exchange.subprotocol)
            async with AsyncExitStack() as stack:
                if await self._enter(stack):
                    async with asyncio.TaskGroup() as self._tasks:
                        await self._serve()
        except WebSocketDisconnect:
            pass
        except SlowConsumer:
            await self._evict()

    async def _serve(self) -> None:
        began = self._loop.time()
        log.info("session_opened")
        try:
            # In a task of its own: here every frame would come up through the frames of all middleware.
            await self._tasks.create_task(self._read())
        finally:
            if self._alarm is not None:
                self._alarm.cancel()
            if self._session is not None:
                self._session.cancel()
            log.info("session_closed", seconds=round(self._loop.time() - began, 3), finals=self._next_seq)

    # -- capacity

    async def _enter(self, stack: AsyncExitStack) -> bool:
        """Wait for a place, and for the client to lose patience; return whether the session may begin."""
        pool = self._context.pool
        admission = asyncio.ensure_future(
            stack.enter_async_context(pool.admit(self._limits.pool_checkout_timeout_secs, self._guest))
        )
        first = asyncio.ensure_future(self._websocket.receive())
        try:
            await asyncio.wait({admission, first}, return_when=asyncio.FIRST_COMPLETED)
            if not admission.done() and first.result()["type"] != "websocket.disconnect":
                await asyncio.wait({admission})
            if not admission.done():
                return False
            admission.result()
        except RequestError as error:
            await self._perform(self._protocol.refused(error))
            return False
        finally:
            for task in (admission, first):
                task.cancel()
            await asyncio.gather(admission, first, return_exceptions=True)
        if not first.cancelled():
            self._early = first.result()
        return True

    def _ask_to_leave(self) -> bool:
        """Make room for others, unless audio is on its way; return whether the session will."""
        if self._over or not self._protocol.may_make_room:
            return False
        self._must_leave = True
        self.wake()
        return True

    # -- reading

    async def _read(self) -> None:
        """Carry out what the protocol says until the session is over."""
        try:
            await self._perform(self._protocol.admitted(self._loop.time()))
            self._set_alarm()
            if (set_taker := self._websocket.scope["state"].get(TAKER)) is not None:
                set_taker(self._take_at_once)
            while not self._over:
                await self._perform(await self._receive())
        except WebSocketDisconnect:
            self._over = True
        except SlowConsumer:
            await self._evict()

    async def _receive(self) -> list[protocol.Effect]:
        """Take frames and feed their audio, until the protocol wants anything else done or somebody calls `wake`."""
        try:
            async with asyncio.timeout(None) as self._scope:
                while not self._woken and not self._over:
                    message = self._early or await self._next_message()
                    self._early = None
                    match self._take(message):
                        case [protocol.FeedAudio(data)]:
                            await self._feed(data)
                        case []:
                            pass
                        case effects:
                            return effects
        except TimeoutError:
            pass
        finally:
            self._scope = None
        self._woken = False
        if self._context.pool.draining:
            return self._protocol.drain()
        return self._protocol.make_room() if self._must_leave else self._protocol.tick(self._loop.time())

    async def _next_message(self) -> Message:
        self._listening = True
        try:
            return await self._websocket.receive()
        finally:
            self._listening = False

    def _take_at_once(self, data: bytes) -> bool:
        """Feed audio in the place of the reader, where nothing has to be waited for; return whether that was so."""
        if not data or not self._listening or self._intake is None or not self._protocol.takes_audio:
            return False
        if not self._intake.feed_at_once(data, self._loop.time()):
            return False
        self._audio_taken(len(data))
        return True

    def _take(self, message: Message) -> list[protocol.Effect]:
        now = self._loop.time()
        if message["type"] == "websocket.disconnect":
            self._protocol.gone()
            self._over = True
            return []
        if (close_code := message.get(INPUT_ENDED)) is not None:
            return self._protocol.input_ended(close_code)
        if (text := message.get("text")) is not None:
            return self._protocol.receive_text(text, now)
        return self._protocol.receive_bytes(message.get("bytes") or b"", now)

    async def _feed(self, data: bytes) -> None:
        intake = self._intake or self._open_session()
        try:
            await intake.feed(data)
        finally:
            self._audio_taken(len(data))

    def _audio_taken(self, size: int) -> None:
        self._guest.heard(self._protocol.audio_taken(size, self._loop.time()))
        if self._alarm is None or self._protocol.pause_at < self._alarm.when():
            self._set_alarm()

    def _set_alarm(self) -> None:
        """Wake the reader at the protocol's deadline, and notice pauses.

        Every frame puts both off, but only here are they looked at.
        """
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        now = self._loop.time()
        if self._protocol.notice_pause(now) and self._session is not None:
            self._session.preview()
        deadline = self._protocol.deadline
        if deadline <= now:
            self.wake()
        elif (next_at := min(deadline, self._protocol.pause_at)) < math.inf:
            self._alarm = self._loop.call_at(next_at, self._set_alarm)

    # -- effects

    async def _perform(self, effects: list[protocol.Effect]) -> None:
        for effect in effects:
            match effect:
                case protocol.SendReady():
                    await self._send(
                        wire.ready(
                            model=self._context.model.name,
                            session_id=uuid.uuid4().hex,
                            max_session_secs=self._limits.max_session_secs,
                            idle_timeout_secs=self._limits.idle_timeout_secs,
                        )
                    )
                case protocol.SendError():
                    await self._send(wire.error(effect.code, effect.message, effect.retry_after_ms))
                case protocol.SendPong():
                    await self._send(wire.pong())
                case protocol.FeedAudio():
                    await self._feed(effect.data)
                case protocol.Flush():
                    await self._flush()
                case protocol.Finish():
                    await self._finish(effect)
                case protocol.Close():
                    self._over = True
                    await self._close(effect.code, effect.reason)
                case protocol.IgnoredText():
                    log.debug("text_ignored", characters=effect.characters)

    def _open_session(self) -> Intake:
        configuration = self._protocol.configuration
        self._gatherer.mode = configuration.endpoint_mode
        self._session = Session(
            self._context.pool,
            configuration.options,
            channels=configuration.channels,
            request_id=self._exchange.request_id,
            first_seq=self._next_seq,
        )
        self._intake = Intake(self._session, configuration, self._loop.time)
        self._tasks.create_task(self._write(self._session))
        return self._intake

    async def _flush(self) -> None:
        if self._session is None or self._intake is None:
            for channel in range(self._protocol.configuration.channels):
                await self._tell(Final("", (), 0.0, 0.0, 0.0, "flush", channel, self._next_seq))
            return
        await self._intake.flush()
        self._session.flush()

    async def _finish(self, effect: protocol.Finish) -> None:
        self._close_code = effect.close_code
        if self._session is None or self._intake is None:
            # Without audio there is nothing to ask a worker, and nothing to wait for.
            await self._tell(Final("", (), 0.0, 0.0, 0.0, effect.reason, 0, self._next_seq))
            self._over = True
            await self._close(effect.close_code, effect.reason)
            return
        await self._intake.flush()
        self._session.finish(effect.reason)

    # -- writing

    async def _write(self, session: Session) -> None:
        """Tell the client what the session has to tell, then close."""
        try:
            async for event in session.events():
                await self._tell(event)
            if not self._over:
                await self._close(self._close_code, "")
        except WebSocketDisconnect:
            pass
        except SlowConsumer:
            await self._evict()
        finally:
            self._over = True
            self.wake()

    async def _tell(self, event: Event) -> None:
        channels = self._protocol.configuration.channels
        match event:
            case Partial():
                lag = self._session.lag_seconds if self._session is not None else 0.0
                gathered = self._gatherer.partial(event)
                text = wire.partial(gathered, seq=self._next_seq, lag_seconds=lag, channels=channels)
            case Final():
                if (told := self._gatherer.final(event)) is None:
                    return
                self._next_seq = told.seq + 1
                text = wire.final(told, channels=channels)
            case ProgressEvent():
                return
            case _:
                text = wire.failure(event, channels=channels)
        await self._send(text)

    async def _send(self, text: str) -> None:
        if self._closed or self._over:  # by the other task, or the client; what is unsaid stays so
            return
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._websocket.send_text(text)
        except TimeoutError as exc:
            raise SlowConsumer from exc

    async def _close(self, code: int, reason: str) -> None:
        self._closed = True
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._websocket.close(code, reason)
        except (TimeoutError, RuntimeError, WebSocketDisconnect):  # it does not read, or is gone already
            pass

    async def _evict(self) -> None:
        self._over = True
        log.warning("slow_consumer")
        await self._close(protocol.CLOSE_POLICY, "slow_consumer")
