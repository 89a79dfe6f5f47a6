"""Teller: what a client is told, in its dialect. Every send has a deadline; a client that does not read is dropped.

Used by both tasks of a session, the one that reads and the one that writes; runs in them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterable, Sequence
from contextlib import suppress

from gigastt.config import Limits
from gigastt.errors import RequestError, SessionTaken
from gigastt.gateway.api import conversation, wire
from gigastt.gateway.api.account import Account
from gigastt.gateway.api.dialect import Dialect, Message, Moment, Opening
from gigastt.gateway.api.link import Link
from gigastt.gateway.api.resumption import Resumption
from gigastt.gateway.context import AppContext
from gigastt.gateway.feeds import Feed, Feeds
from gigastt.gateway.pool.events import Event, ProgressEvent
from gigastt.gateway.requests import ClientGone
from gigastt.transcript import EndpointReason, Final, Gap, HeardSpeakers, Partial

ACK_SECONDS = 1.0
CLOSE_SECONDS = 1.0


class SlowConsumer(Exception):
    """The client does not read what it is sent."""


class Teller:
    """The way out to one client.

    Attributes:
        next_seq: the number of the next final.
        is_over: nothing more is to be said, and nobody listened to.
        sending: how many sends wait for the client to read.
        captions: what those are told who read along; None before the session is open.
    """

    __slots__ = (
        "_account",
        "_closed",
        "_dialect",
        "_link",
        "_resumption",
        "captions",
        "is_over",
        "next_seq",
        "sending",
    )  # as many as connections

    def __init__(self, link: Link, dialect: Dialect, resumption: Resumption, account: Account) -> None:
        self.next_seq = 0
        self.is_over = False
        self.captions: Captions | None = None
        self._link = link
        self._dialect = dialect
        self._resumption = resumption
        self._account = account
        self._closed = False
        self.sending = 0

    async def greet(self, context: AppContext, limits: Limits, client: Hashable) -> None:
        """Tell a client that it may begin, and let others read along."""
        resumption, model = self._resumption, context.model
        name, session_id = self._dialect.captions, resumption.session_id
        if name != "":  # None: under the session's id
            self.captions = Captions(context.feeds, name, session_id, client)
        times = limits.max_session_secs, limits.idle_timeout_secs
        told = resumption.enter(), model.likeness is not None
        alphabet = context.pool.model.alphabet if context.pool.model is not None else None
        await self.send(self._dialect.open(Opening(model.name, session_id, *times, *told, alphabet=alphabet)))

    async def tell(self, event: Event, channels: int, lag_seconds: float = 0.0) -> None:
        """Tell an event of a session."""
        if isinstance(event, ProgressEvent):
            return
        if isinstance(event, HeardSpeakers):
            await self.send(self._dialect.tell_speakers(event), self.next_seq)
            return
        seq = self.next_seq
        if isinstance(event, Final):
            seq, self.next_seq = event.seq, event.seq + 1
            self._resumption.told(event)
            self._account.told(event)
        if seq < self._resumption.told_from:  # the client has it from another server
            return
        moment = Moment(self.next_seq, lag_seconds, channels)
        if self.captions is not None:
            self.captions.tell(event, moment)
        await self.send(self._dialect.tell(event, moment), None if isinstance(event, Partial) else seq)
        if isinstance(event, Final):
            await self.acknowledge()

    async def complain(self, error: RequestError) -> None:
        """Tell of an error that ends nothing."""
        await self.send(self._dialect.fail(error.code, str(error), error.retry_after_ms))

    async def tell_nothing(self, reason: EndpointReason, channels: int, told: Iterable[int] = (0,)) -> None:
        """Tell an empty final of each of the channels `told`: there was no audio."""
        for channel in told:
            await self.tell(Final("", (), 0.0, 0.0, 0.0, reason, channel, self.next_seq), channels)

    async def acknowledge(self, *, again: bool = False) -> None:
        """Tell a client that can resume what it need not keep; with `again`, also the token, if it knows that."""
        await self.send(self._resumption.acknowledge(self.next_seq, again=again))

    async def acknowledge_regularly(self) -> None:
        """Acknowledge at once and every second, by which the client also hears that it is heard."""
        with suppress(ClientGone, SlowConsumer):  # the session's tasks find out as well
            while self._link.can_resume and not self.is_over:
                if not self._link.is_lost:
                    await self.acknowledge()
                await asyncio.sleep(ACK_SECONDS)

    async def send(self, messages: Sequence[Message], seq: int | None = None) -> None:
        """Send messages, which belong to the final `seq` if they may have to be told again.

        Raises:
            SlowConsumer: the client does not read.
            ClientGone: it hung up.
        """
        self.sending += 1
        try:
            for message in messages:
                if self._closed or self.is_over:  # by the other task, or the client; what is unsaid stays so
                    return
                await self._link.send(message, seq)
        except TimeoutError as exc:
            raise SlowConsumer from exc
        finally:
            self.sending -= 1

    async def close(self, code: int, reason: str) -> None:
        """Close the connection."""
        self._closed = True
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._link.close(code, reason)
        except (TimeoutError, ClientGone):  # it does not read, or is gone already
            pass

    async def evict(self) -> None:
        """Drop a client that does not read."""
        self.is_over = True
        self._account.ended_by = "slow_consumer"
        await self.close(conversation.CLOSE_POLICY, "slow_consumer")


class Captions:
    """The captions of one session for its readers, in whichever dialect its client speaks: the messages of `/v1/ws`.

    Args:
        name: the one that its client has chosen; None for none.
        session_id: the name where there is no other, or another client has it.
        owner: the client.
    """

    __slots__ = ("_feed", "_feeds")  # as many as sessions

    def __init__(self, feeds: Feeds, name: str | None, session_id: str, owner: Hashable) -> None:
        self._feeds = feeds
        self._feed = _begin(feeds, name, owner) or feeds.begin_along(session_id, owner)
        self._feed.add('{"type":"ready"}')

    def tell(self, event: Partial | Final | Gap, moment: Moment) -> None:
        """Tell an event; a partial costs nothing where nobody reads."""
        match event:
            case Partial():
                if self._feed.followers:
                    self._feed.add(wire.partial(event, moment, moment.seq), passing=True)
            case Final():
                self._feed.add(wire.final(event, channels=moment.channels), passing=not event.text)
            case Gap():
                self._feed.add(wire.failure(event, channels=moment.channels))

    def end(self) -> None:
        """The session is over."""
        self._feeds.end(self._feed)
        if self._feed.ended:
            self._feed.add('{"type":"end"}')


def _begin(feeds: Feeds, name: str | None, owner: Hashable) -> Feed | None:
    try:
        return feeds.begin_along(name, owner) if name is not None else None
    except SessionTaken:
        return None
