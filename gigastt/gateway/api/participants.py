"""Participants: many conversations over one connection, each with a place, a session and an end of its own.

    connection ─frame→ whose? ─┬→ participant: transport → conversation ─┐
                               ├→ participant: transport → conversation ─┼→ connection
                               └→ …                                 ─┘

A participant who is silent for long gives the place back, and takes another when there is audio again. One for a
connection, in its task, with a task for each participant.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeAlias

from gigastt.gateway.api.conversation import (
    CLOSE_GOING_AWAY,
    CLOSE_NORMAL,
    CLOSE_POLICY,
    GARBAGE_FRAMES,
)
from gigastt.gateway.api.dialect import Dialect, Message
from gigastt.gateway.api.shell import converse
from gigastt.gateway.api.transport import Answers, AudioTaker, InputEnded, Transport
from gigastt.gateway.context import AppContext
from gigastt.gateway.rate import take_token
from gigastt.gateway.requests import ClientGone, Exchange
from gigastt.log import get_logger

log = get_logger(__name__)

PAUSE: Final = "pause"  # what a dialect hears of a participant whose audio has stopped
MUTED_SECONDS: Final = 2.0
MOST_PARTICIPANTS: Final = 256  # of one connection
MOST_WAITING_BYTES: Final = 4 * 1024 * 1024  # of all of them, most for those who wait for a place
REFUSED_SECONDS: Final = 5.0  # after a conversation that was refused

FrameReader: TypeAlias = Callable[[Message], tuple[str, bytes] | None]


class Participant:
    """The transport of one participant's conversation."""

    def __init__(self, participants: Participants) -> None:
        self._participants = participants
        self._loop = asyncio.get_running_loop()
        self._queue: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._taker: AudioTaker | None = None
        self._heard_at = self._loop.time()
        self._unsettled = False  # audio has come since the last pause
        self._end: InputEnded | None = None
        self._gone = False
        self.retry_at = 0.0  # when there may be another conversation

    def take_at_once(self, audio: bytes) -> Answers:
        """Hand audio to the session if nothing waits before it; return its answer, None if that was not possible."""
        if self._queue or self._taker is None or (answer := self._taker(audio)) is None:
            return None
        self._heard_at = self._loop.time()
        self._unsettled = True
        return answer

    def put(self, audio: bytes) -> None:
        """Queue audio."""
        self._heard_at = self._loop.time()
        self._unsettled = True
        self._participants.queued_bytes += len(audio)
        self._queue.append(audio)
        self._news.set()

    def end(self, *, gone: bool) -> None:
        """No more comes of the connection; `gone`: and nobody can be told anything."""
        self._gone = gone
        self._end = InputEnded(CLOSE_NORMAL)
        self._news.set()

    def leave(self) -> None:
        """The conversation is over; forget what nobody has heard."""
        self._taker = None
        while self._queue:
            self._participants.dequeue(self._queue.popleft())

    async def receive(self) -> Message | InputEnded:
        """Wait for audio, or for it to stop for a while."""
        while not self._queue:
            if self._gone:
                raise ClientGone
            if self._end is not None:
                end, self._end = self._end, None
                return end
            self._news.clear()
            due = self._heard_at + MUTED_SECONDS if self._unsettled else None
            try:
                async with asyncio.timeout_at(due):
                    await self._news.wait()
            except TimeoutError:
                if self._loop.time() >= self._heard_at + MUTED_SECONDS:
                    self._unsettled = False
                    return PAUSE
        audio = self._queue.popleft()
        self._participants.dequeue(audio)
        return audio

    async def send(self, message: Message) -> None:
        """Tell the connection."""
        await self._participants.transport.send(message)

    async def close(self, code: int, reason: str) -> None:
        """End this conversation and no other."""
        if code not in (CLOSE_NORMAL, CLOSE_GOING_AWAY, CLOSE_POLICY):
            self.retry_at = self._loop.time() + REFUSED_SECONDS

    def hand_over(self, take: AudioTaker) -> None:
        """Offer audio to `take` first."""
        self._taker = take


class Participants:
    """The conversations of one connection.

    Args:
        read_frame: tells whose audio a frame has; nobody's: the connection ends; None: it means nothing.
        dialect_of: makes the dialect of a participant.
    """

    def __init__(
        self,
        transport: Transport,
        read_frame: FrameReader,
        dialect_of: Callable[[str], Dialect],
        context: AppContext,
        exchange: Exchange,
    ) -> None:
        self.transport = transport
        self.queued_bytes = 0
        self._read_frame = read_frame
        self._dialect_of = dialect_of
        self._context = context
        self._exchange = exchange
        self._loop = asyncio.get_running_loop()
        self._participants: dict[str, Participant] = {}
        self._tasks: dict[Participant, asyncio.Task[None]] = {}
        self._garbage_full_at = 0.0  # of its bucket
        self._room = asyncio.Event()
        self._heard_at = self._loop.time()
        self._scope: asyncio.Timeout | None = None
        self._draining = False

    async def run(self) -> None:
        """Serve the connection to its end."""
        listeners = self._context.pool.drain_listeners
        listeners.add(self._drain)
        try:
            self.transport.hand_over(self._take)
            close_code = await self._read()
            for participant in self._tasks:
                participant.end(gone=False)
            await asyncio.gather(*self._tasks.values())
            await self.transport.close(close_code, "")
        except ClientGone:
            for participant in self._tasks:
                participant.end(gone=True)
            await asyncio.gather(*self._tasks.values())
        finally:
            listeners.discard(self._drain)
            for task in self._tasks.values():
                task.cancel()

    def dequeue(self, audio: bytes) -> None:
        """Count audio as no longer queued."""
        self.queued_bytes -= len(audio)
        self._room.set()

    def _drain(self) -> None:
        """The server stops: the participants end by themselves, and no others begin."""
        self._draining = True
        self._room.set()
        if self._scope is not None:
            self._scope.reschedule(self._loop.time())

    async def _read(self) -> int:
        """Give frames to their participants until the connection ends; return with which code to close it."""
        idle = self._context.limits.idle_timeout_secs
        while not self._draining:
            try:
                async with asyncio.timeout_at(self._heard_at + idle if idle else None) as self._scope:
                    message = await self.transport.receive()
            except TimeoutError:
                if self._loop.time() >= self._heard_at + idle > self._heard_at:
                    break
                continue
            finally:
                self._scope = None
            if isinstance(message, InputEnded):
                return message.close_code
            self._heard_at = self._loop.time()
            frame = self._read_frame(message)
            if frame is None:
                self._garbage_full_at, wait = take_token(GARBAGE_FRAMES, self._garbage_full_at, self._heard_at)
                if wait:
                    return CLOSE_POLICY
                continue
            name, audio = frame
            if not name:
                return CLOSE_NORMAL
            if audio:
                self._garbage_full_at = 0.0
                await self._give(name, audio)
        return CLOSE_GOING_AWAY

    def _take(self, message: bytes) -> Answers:
        frame = self._read_frame(message)
        participant = self._participants.get(frame[0]) if frame is not None else None
        if frame is None or participant is None or not frame[1]:
            return None
        if (answer := participant.take_at_once(frame[1])) is not None:
            self._heard_at = self._loop.time()
        return answer

    async def _give(self, name: str, audio: bytes) -> None:
        """Queue audio for its participant; wait while too much is queued."""
        participant = self._participants.get(name)
        if participant is None or (participant not in self._tasks and participant.retry_at <= self._loop.time()):
            if len(self._tasks) >= MOST_PARTICIPANTS:
                return
            if len(self._participants) >= 2 * MOST_PARTICIPANTS:
                self._participants = {name: each for name, each in self._participants.items() if each in self._tasks}
            participant = self._participants[name] = Participant(self)
            self._tasks[participant] = self._loop.create_task(self._converse(name, participant))
        if participant not in self._tasks:
            return
        participant.put(audio)
        while self.queued_bytes > MOST_WAITING_BYTES and not self._draining:
            self._room.clear()
            await self._room.wait()

    async def _converse(self, name: str, participant: Participant) -> None:
        try:
            with suppress(ClientGone):
                await converse(participant, self._dialect_of(name), self._context, self._exchange)
        except Exception:  # the border of a participant
            log.exception("participant_failed")
        finally:
            participant.leave()
            del self._tasks[participant]
