"""Resumption: how a client that has lost its connection goes on with its session, here or at another server.

One object for a session, beside its shell. It gives the client its tokens, finds the session that a token names, and
says in acknowledgements what the client need not keep any more. `link` is the connection, `resume_points` the tokens.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeAlias

from gigastt.gateway.api.conversation import CLOSE_NORMAL, CLOSE_SERVICE_RESTART, Conversation
from gigastt.gateway.api.dialect import Ack, Configuration, Dialect, Message, Resume
from gigastt.gateway.api.intake import Intake
from gigastt.gateway.api.link import Link
from gigastt.gateway.api.resume_points import ResumePoint
from gigastt.gateway.api.transport import InputEnded, Transport
from gigastt.gateway.context import AppContext
from gigastt.gateway.pool.session import Session
from gigastt.gateway.waiting_room import WaitingRoom
from gigastt.transcript import Final

LONGEST_GOAWAY_SECONDS = 10.0
_EPILOGUE_SECONDS = 5.0

Say: TypeAlias = Callable[[Sequence[Message]], Awaitable[None]]


class Resumption:
    """One session's side of being resumed, or of resuming another.

    Args:
        transport: the client's first connection.
        dialect: how the client is told.
        context: has the tokens and the waiting room.
        owner: whose the session is alone; empty where no key is asked for.
        conversation: knows whether the client said that it may come back.
        wake: makes the shell look up: a connection was lost, or lent.

    Attributes:
        link: its connection of the moment.
        session_id: by which the session is found.
        told_from: the number of the first final that the client has not had from a session before this.
    """

    __slots__ = (
        "_committed",
        "_configuration",
        "_dialect",
        "_flushes",
        "_intake",
        "_joined",
        "_must_go_at",
        "_owner",
        "_room",
        "_session",
        "_tokens",
        "_told",
        "_told_flushes",
        "link",
        "session_id",
        "told_from",
    )

    def __init__(
        self,
        transport: Transport,
        dialect: Dialect,
        context: AppContext,
        owner: str,
        conversation: Conversation,
        wake: Callable[[], None],
    ) -> None:
        self.session_id = uuid.uuid4().hex
        self.told_from = 0
        seconds = context.limits.resume_secs if dialect.can_resume else 0.0
        self.link = Link(transport, seconds, lambda: conversation.configuration.resumable, wake)
        self._owner = hashlib.sha256(owner.encode()).hexdigest()[:16] if owner else ""  # as clients may read it
        self._dialect = dialect
        self._tokens = context.tokens
        self._room: WaitingRoom[Resumption] = context.waiting_room
        self._joined: tuple[Resumption, int] | None = None  # and the last final that the client has
        self._session: Session | None = None
        self._intake: Intake | None = None
        self._configuration = Configuration()
        self._committed = 0
        self._told: tuple[int, ...] | None = None  # the commits of the newest token, and the final behind it
        self._flushes = 0  # carried out
        self._must_go_at: float | None = None  # by a client whose server stops
        self._told_flushes = 0  # finals that have answered them

    def enter(self) -> str | None:
        """Let the client find this session again; return the token with which it does, if it ever can."""
        if not self.link.is_resumable:
            return None
        self._room.enter(self.session_id, self)
        return ResumePoint(self.session_id, self._owner).sign(self._tokens)

    def leave(self) -> None:
        """The session is over."""
        self.link.let_go()
        self._session = self._intake = None
        self._configuration = Configuration()  # it is found for a while yet, and may be large
        self._room.leave(self.session_id, at_once=self.link.ended is None or not self.link.can_resume)

    # -- coming back

    def joins(self, message: Message | InputEnded) -> bool:
        """Whether a client that waits for a place has one already, with the session to which it comes back."""
        if not self._dialect.can_resume or not isinstance(message, str):
            return False
        requests = self._dialect.hear(message, self._configuration)
        return any(isinstance(request, Resume) and self.join(request) for request in requests)

    def join(self, request: Resume) -> bool:
        """Look for the session of a token among those of this server; return whether the client can go on with it."""
        point = self._read(request)
        found = self._room.find(point.session_id) if point is not None else None
        if found is None or found is self or not found._fits(self._owner, request):
            return False
        self._joined = (found, request.have_final_seq)
        return True

    def _fits(self, owner: str, request: Resume) -> bool:
        """Whether a client that asks to resume this session may, and has all that it takes."""
        received = self._intake.received if self._intake is not None else 0
        lacks_audio = request.position > received and self.link.ended is None
        remembers = self.link.remembers(request.have_final_seq)
        if self.link.ended not in (None, CLOSE_NORMAL):
            return False  # by a limit of its own; the token still says how to go on
        return owner == self._owner and self.link.can_resume and remembers and not lacks_audio

    def find_point(self, request: Resume) -> ResumePoint | None:
        """Return the moment of a token at which this session can go on; None if it says too little."""
        point = self._read(request)
        if point is None or point.checkpoint is None or point.position.client != request.position:
            return None
        self.told_from = request.have_final_seq + 1
        self._flushes = point.flushes
        self._told_flushes = point.flushes * point.configuration.channels
        return point

    def _read(self, request: Resume) -> ResumePoint | None:
        point = ResumePoint.read(request.token, self._tokens)
        return point if point is not None and point.owner == self._owner else None

    async def lend(self, transport: Transport) -> None:
        """Let the session that was joined, if one was, have this connection, as long as it needs it."""
        if self._joined is None:
            return
        (joined, have_seq), self._joined = self._joined, None
        link = joined.link
        if link.ended is None and await link.lend(transport, have_seq):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_EPILOGUE_SECONDS):
                for message in link.told_after(have_seq):
                    await transport.send(message)
                await transport.close(CLOSE_SERVICE_RESTART if link.ended is None else link.ended, "")

    # -- acknowledgements

    def begin(self, session: Session, intake: Intake, configuration: Configuration) -> None:
        """The session gets audio from now on."""
        self._session, self._intake, self._configuration = session, intake, configuration
        self._committed = intake.received

    def flushed(self) -> None:
        """The client's utterance was ended."""
        self._flushes += 1

    def told(self, final: Final) -> None:
        """A final was told."""
        self._told_flushes += final.reason == "flush"

    def acknowledge(self, next_seq: int, *, again: bool = False) -> Sequence[Message]:
        """Return what to tell a client that can resume: what it need not keep.

        Args:
            next_seq: the number of the next final to be told.
            again: the token, too, although it was told before.
        """
        if not self.link.can_resume:
            return ()
        token = self._new_token(next_seq, again)
        received = self._intake.received if self._intake is not None else 0
        ack = Ack(received, self._committed, next_seq - 1, self._flushes, token, self.session_id)
        return self._dialect.acknowledge(ack)

    def _new_token(self, next_seq: int, again: bool) -> str | None:
        checkpoint = self._session.checkpoint_before(next_seq) if self._session is not None else None
        flushes, between = divmod(self._told_flushes, self._configuration.channels)
        if checkpoint is None or self._intake is None or between:
            return None
        commits = tuple(track.committed for track in checkpoint.tracks)
        position = self._intake.needed_from(min(commits))
        if position is None or ((*commits, next_seq) == self._told and not again):
            return None
        self._told, self._committed = (*commits, next_seq), position.client
        point = ResumePoint(self.session_id, self._owner, self._configuration, position, checkpoint, flushes)
        return point.sign(self._tokens)

    # -- going on

    async def go_on(self) -> bool:
        """Go on with the client's next connection; return whether there is one."""
        if not self.link.has_successor:
            return False
        if self._intake is not None:
            self._intake.drop_rest()
        await self.link.take_successor()
        return True

    async def ask_to_go(self, seconds: float, wake: Callable[[], None], tell: Say) -> bool:
        """Ask the client, once, to go on at another server within `seconds`; return whether that time is over.

        `wake` is called when it is.
        """
        loop = asyncio.get_running_loop()
        if self._must_go_at is None:
            seconds = min(LONGEST_GOAWAY_SECONDS, seconds)
            self._must_go_at = loop.time() + seconds
            loop.call_at(self._must_go_at, wake)
            await tell(self._dialect.ask_to_go(seconds))
        return loop.time() >= self._must_go_at
