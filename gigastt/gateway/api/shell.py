"""The shell around a conversation: it carries out, over any transport, in any dialect, what the conversation decides.

Two tasks a session: one reads messages; one, from the first audio on, writes what the session has to tell. Nothing is
decided here but deadlines: every send has one, and a client that does not read is dropped. An idle client has no state
in any worker. A chunk of audio costs no task and no timer: while the reader waits for a message, the connection hands
audio that needs no waiting straight to the session.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

from gigastt.errors import RequestError
from gigastt.gateway.api import conversation
from gigastt.gateway.api.account import JOINED, Account
from gigastt.gateway.api.alarm import Alarm
from gigastt.gateway.api.dialect import Dialect, Message, Reply, Resume
from gigastt.gateway.api.enrolment import open_book
from gigastt.gateway.api.entrance import HasPlace, take_place
from gigastt.gateway.api.intake import Intake, Position
from gigastt.gateway.api.resume_points import ResumePoint
from gigastt.gateway.api.resumption import Resumption
from gigastt.gateway.api.teller import SlowConsumer, Teller
from gigastt.gateway.api.transport import Answers, InputEnded, Transport
from gigastt.gateway.context import AppContext
from gigastt.gateway.pool.admission import Guest
from gigastt.gateway.pool.session import Session
from gigastt.gateway.requests import ClientGone, Exchange
from gigastt.log import get_logger
from gigastt.speakers import SpeakerBook
from gigastt.transcript import Gap

log = get_logger(__name__)


async def converse(
    transport: Transport, dialect: Dialect, context: AppContext, exchange: Exchange, guest: Guest | None = None
) -> Resumption:
    """Serve one client from its admission, or as a guest that has its place, to its close.

    Raises ClientGone if it hung up before. The resumption can `lend` the connection to a session it comes back to.
    """
    shell = Shell(transport, dialect, context, exchange, guest)
    context.pool.drain_listeners.add(shell.wake)
    try:
        await shell.run()
        return shell.resumption
    finally:
        context.pool.drain_listeners.discard(shell.wake)


class Shell:
    """One client."""

    def __init__(
        self, transport: Transport, dialect: Dialect, context: AppContext, exchange: Exchange, guest: Guest | None
    ) -> None:
        self._limits = limits = context.limits
        self._dialect = dialect
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._exchange = exchange
        self._conversation = conversation.Conversation(
            dialect,
            idle_timeout_secs=limits.idle_timeout_secs,
            max_session_secs=limits.max_session_secs,
            max_frame_bytes=limits.ws_frame_max_bytes,
            now=self._loop.time(),
        )
        self.resumption = Resumption(transport, dialect, context, exchange.owner, self._conversation, self.wake)
        self._transport = self.resumption.link
        self._account = Account(context.metrics, exchange, dialect.name, self._loop.time)
        self._teller = Teller(self._transport, dialect, self.resumption, self._account)
        self._guest = guest or Guest(exchange.client)
        self._guest.make_room = self._ask_to_leave
        self._must_leave = False
        self._early: Message | InputEnded | None = None  # what came while the client waited for a place
        self._session: Session | None = None
        self._intake: Intake | None = None
        self._tasks: asyncio.TaskGroup
        self._scope: asyncio.Timeout | None = None  # what the reader waits in, so that it can be woken
        self._woken = False
        self._listening = False  # the reader waits for a message, and has dealt with all before it
        self._alarm = Alarm(self._conversation, self.wake, self._preview)
        self._close_code = conversation.CLOSE_INTERNAL

    def wake(self) -> None:
        """Make the reader look up: the server drains, the conversation's deadline has come, or the writer is done."""
        self._woken = True
        if self._scope is not None:
            self._scope.reschedule(self._loop.time())
            self._scope = None

    async def run(self) -> None:
        """Admit the client, serve it, and clean up."""
        with self._account.kept():
            try:
                async with AsyncExitStack() as stack:
                    if await self._enter(stack):
                        stack.enter_context(self._context.metrics.count_session(self._dialect.name))
                        async with asyncio.TaskGroup() as self._tasks:
                            await self._serve()
            except SlowConsumer:
                await self._teller.evict()

    async def _serve(self) -> None:
        self._account.open()
        try:
            # In a task of its own: here every frame would come up through the frames of all middleware.
            await self._tasks.create_task(self._read())
        finally:
            self._alarm.end()
            if self._session is not None:
                self._session.cancel()
            if self._teller.captions is not None:
                self._teller.captions.end()
            self.resumption.leave()

    # -- capacity

    async def _enter(self, stack: AsyncExitStack) -> bool:
        """Wait for a place; return whether the session may begin."""
        if self._guest.is_in:
            return True
        wait = self._limits.pool_checkout_timeout_secs
        try:
            joins = self.resumption.joins
            self._early = await take_place(stack, self._context.pool, wait, self._guest, self._transport, joins)
        except HasPlace:
            self._account.ended_by = JOINED
            return False
        except RequestError as error:
            await self._perform(self._conversation.refused(error))
            return False
        return True

    def _ask_to_leave(self) -> bool:
        """Make room for others, unless audio is on its way; return whether the session will."""
        if self._teller.is_over or not self._conversation.may_make_room:
            return False
        self._must_leave = True
        self.wake()
        return True

    # -- reading

    async def _read(self) -> None:
        """Carry out what the conversation decides until the session is over."""
        try:
            await self._perform(self._conversation.admitted(self._loop.time()))
            self._alarm.set()
            if self._dialect.frames_are_audio:
                self._transport.hand_over(self._take_at_once)
            while not self._teller.is_over:
                await self._perform(await self._receive())
        except ClientGone:
            self._account.lose()
            self._teller.is_over = True
        except SlowConsumer:
            await self._teller.evict()

    async def _receive(self) -> list[conversation.Effect]:
        """Take messages and feed their audio, until anything else is to be done or somebody calls `wake`."""
        try:
            async with asyncio.timeout(None) as self._scope:
                while not self._woken and not self._teller.is_over:
                    message = await self._next_message() if self._early is None else self._early
                    self._early = None
                    match self._take(message):
                        case [conversation.FeedAudio(data)]:
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
        if await self.resumption.go_on():
            await self._teller.acknowledge(again=True)
            return []
        if self._transport.is_lost and (self._context.pool.draining or self._must_leave):
            raise ClientGone  # it has the audio, and goes on elsewhere
        if self._context.pool.draining:
            return await self._drain()
        if self._account.is_used_up:
            return self._conversation.use_up()
        return self._conversation.make_room() if self._must_leave else self._conversation.tick(self._loop.time())

    async def _drain(self) -> list[conversation.Effect]:
        """End the session, or let a client that can resume go on elsewhere, at its next pause."""
        if not self._transport.can_resume or self._conversation.state not in ("open", "streaming"):
            return self._conversation.drain()
        if await self.resumption.ask_to_go(self._limits.shutdown_drain_secs / 2, self.wake, self._teller.send):
            return [conversation.Close(conversation.CLOSE_SERVICE_RESTART, "resume elsewhere")]
        return self._conversation.tick(self._loop.time())

    async def _next_message(self) -> Message | InputEnded:
        self._listening = True
        try:
            return await self._transport.receive()
        finally:
            self._listening = False

    def _take_at_once(self, data: bytes) -> Answers:
        """Feed audio in the place of the reader and return its answer; None: something has to be waited for."""
        if not data or not self._listening or self._intake is None or not self._conversation.takes_audio:
            return None
        now = self._loop.time()
        at_once = self._dialect.takes_at_once(data, is_sending=self._teller.sending > 0)
        if not at_once or not self._intake.feed_at_once(data, now):
            return None
        self._audio_taken(len(data), now)
        return self._dialect.answer_frame()

    def _take(self, message: Message | InputEnded) -> list[conversation.Effect]:
        if isinstance(message, InputEnded):
            self._account.lose(message.close_code)
            return self._conversation.input_ended(message.close_code)
        return self._conversation.receive(message, self._loop.time())

    async def _feed(self, data: bytes) -> None:
        intake = self._intake or await self._open_session()
        try:
            await intake.feed(data)
        finally:
            self._audio_taken(len(data), self._loop.time())

    def _audio_taken(self, size: int, now: float) -> None:
        seconds = self._conversation.audio_taken(size, now)
        self._guest.heard(seconds)
        if not self._account.hear(seconds):
            self.wake()
        self._alarm.put_off()

    def _preview(self) -> None:
        if self._session is not None:
            self._session.preview()

    # -- effects

    async def _perform(self, effects: list[conversation.Effect]) -> None:
        self._account.note(effects)
        for effect in effects:
            match effect:
                case conversation.SendReady():
                    await self._teller.greet(self._context, self._limits, self._exchange.client)
                case Resume():
                    await self._resume(effect)
                case conversation.SendError():
                    await self._teller.send(self._dialect.fail(effect.code, effect.message, effect.retry_after_ms))
                case Reply():
                    await self._teller.send(effect.messages)
                case conversation.FeedAudio():
                    await self._feed(effect.data)
                case conversation.Flush():
                    await self._flush()
                case conversation.FinishSession():
                    await self._finish(effect)
                case conversation.Close():
                    self._teller.is_over = True
                    await self._teller.close(effect.code, effect.reason)
                case conversation.IgnoredText():
                    log.debug("text_ignored", characters=effect.characters)

    async def _open_session(self, point: ResumePoint | None = None) -> Intake:
        configuration = self._conversation.configuration
        book = await open_book(self._context, configuration, self._exchange.request_id, self._teller.complain)
        self._session = Session(
            self._context.pool,
            replace(configuration.options, diarization=isinstance(book, SpeakerBook)),
            channels=configuration.channels,
            request_id=self._exchange.request_id,
            first_seq=self._teller.next_seq,
            book=book,
            checkpoint=point.checkpoint if point is not None else None,
            keeps_checkpoints=self._transport.can_resume,
        )
        self._intake = Intake(self._session, configuration, self._loop.time, point.position if point else Position())
        self.resumption.begin(self._session, self._intake, configuration)
        self._tasks.create_task(self._write(self._session))
        return self._intake

    async def _resume(self, request: Resume) -> None:
        """Go on with another session: with itself, if it waits here, else from what its token says."""
        if self.resumption.join(request):
            self._account.ended_by = JOINED
            self._teller.is_over = True
            return
        point = self.resumption.find_point(request)
        if point is None or point.checkpoint is None:
            message = "This session cannot be resumed here; configure begins another."
            await self._teller.send(self._dialect.fail("resume_failed", message, None))
            return
        self._conversation.resumed(point.configuration)
        self._teller.next_seq = point.checkpoint.next_seq
        self._dialect.resumed(self.resumption.told_from)
        await self._open_session(point)
        self._alarm.set()
        log.info("session_continued")
        await self._teller.acknowledge()

    async def _flush(self) -> None:
        self.resumption.flushed()
        channels = self._conversation.configuration.channels
        if self._session is None or self._intake is None:
            await self._teller.tell_nothing("flush", channels, range(channels))
            return
        await self._intake.flush()
        self._session.flush()

    async def _finish(self, effect: conversation.FinishSession) -> None:
        self._close_code = effect.close_code
        if self._session is None or self._intake is None:
            # Without audio there is nothing to ask a worker, and nothing to wait for.
            await self._teller.tell_nothing(effect.reason, self._conversation.configuration.channels)
            await self._teller.send(self._dialect.end())
            self._teller.is_over = True
            await self._teller.close(effect.close_code, effect.reason)
            return
        await self._intake.flush()
        self._session.finish(effect.reason)

    # -- writing

    async def _write(self, session: Session) -> None:
        """Tell the client what the session has to tell, then close."""
        acknowledging = self._tasks.create_task(self._teller.acknowledge_regularly())
        try:
            async for event in session.events():
                if isinstance(event, Gap):
                    self._context.metrics.count_error(event.code)
                configuration = self._conversation.configuration
                told = configuration.spelling.of(event)
                await self._teller.tell(told, configuration.channels, session.lag_seconds)
            if not self._teller.is_over:
                await self._teller.send(self._dialect.end())
                await self._teller.close(self._close_code, "")
        except ClientGone:
            pass
        except SlowConsumer:
            await self._teller.evict()
        finally:
            acknowledging.cancel()
            self._teller.is_over = True
            self.wake()
