"""Calls: telephone channels that send audio and cannot read text, whose text goes to a feed under the call's id.

A protocol of calls names the call first; then its conversation runs over its own connection one way, and into the feed
the other. `GET /v1/sessions/{id}/events` follows a feed as server-sent events: each has the number of its message as
id, so that a reader that was cut off goes on behind it (`Last-Event-ID`); the last one has `"last": true`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gigastt.errors import InvalidParameter, RequestError, RequestTimeout
from gigastt.gateway.api import wire
from gigastt.gateway.api.conversation import CLOSE_GOING_AWAY, CLOSE_NORMAL
from gigastt.gateway.api.dialect import Dialect, Message
from gigastt.gateway.api.event_stream import (
    QUIET_COMMENT,
    QUIET_SECONDS,
    EventAnswer,
    failure_block,
    last_event,
    with_pauses,
)
from gigastt.gateway.api.shell import converse
from gigastt.gateway.api.transport import AudioTaker, InputEnded, Transport
from gigastt.gateway.context import AppContext
from gigastt.gateway.feeds import Feed, FeedMessage
from gigastt.gateway.requests import ClientGone, Exchange
from gigastt.gateway.responses import json_text
from gigastt.log import get_logger

log = get_logger(__name__)

INTRODUCTION_SECONDS: Final = 10.0  # for a call to say which one it is
CALL_WAIT_SECONDS: Final = 600.0  # of a follower, for the call to begin
_ID: Final = re.compile(r"[a-z0-9._:-]{1,128}")
_PARTIAL: Final = '{"type":"partial"'
_END: Final = '{"type":"end"'


def call_id(name: str) -> str:
    """Return the id of a call as its feed has it. InvalidParameter: it cannot be one."""
    lowered = name.strip().lower()
    if not _ID.fullmatch(lowered):
        raise InvalidParameter("The id of a session is 1 to 128 letters, digits or ._:-", param="id")
    return lowered


async def first_message(transport: Transport) -> Message:
    """Return what a call says first, which is to name it. RequestTimeout: it says nothing; ClientGone: it hung up."""
    try:
        async with asyncio.timeout(INTRODUCTION_SECONDS):
            message = await transport.receive()
    except TimeoutError as exc:
        raise RequestTimeout("The call did not tell its id.") from exc
    if isinstance(message, InputEnded):
        raise ClientGone
    return message


async def transcribe_call(
    transport: Transport, name: str, dialect: Dialect, context: AppContext, exchange: Exchange, goodbye: str
) -> None:
    """Carry on the conversation of a call.

    Args:
        name: its id.
        goodbye: the message after which its connection is closed.

    Raises:
        InvalidParameter, SessionTaken: nothing can be told under this id.
    """
    feed = context.feeds.begin(call_id(name))
    dialect.captions = ""  # the feed of the call has it
    log.info("call_began", session=feed.session_id, protocol=dialect.name, client=exchange.address)
    call = _Call(transport, feed, goodbye)
    try:
        await converse(call, dialect, context, exchange)
    finally:
        _end(context, feed, call.close_code)


def refuse_call(context: AppContext, name: str, error: RequestError) -> None:
    """Tell those who wait for a call that it does not begin, unless another call has its id, or none can have it."""
    with suppress(RequestError):
        feed = context.feeds.begin(call_id(name))
        feed.add(wire.error(error.code, str(error), error.retry_after_ms))
        _end(context, feed, CLOSE_GOING_AWAY)


def _end(context: AppContext, feed: Feed, close_code: int) -> None:
    feed.add(json_text({"type": "end", "close_code": close_code}))
    context.feeds.end(feed)


class _Call:
    """A transport that hears a connection and tells a feed. The words of a caller who hung up are told too."""

    def __init__(self, transport: Transport, feed: Feed, goodbye: str) -> None:
        self._transport = transport
        self._feed = feed
        self._goodbye = goodbye
        self._gone = False
        self.close_code = CLOSE_GOING_AWAY

    async def receive(self) -> Message | InputEnded:
        if self._gone:  # the conversation has been told so, and ends by itself
            await asyncio.Event().wait()
        try:
            return await self._transport.receive()
        except ClientGone:
            self._gone = True
            return InputEnded(CLOSE_NORMAL)

    async def send(self, message: Message) -> None:
        assert isinstance(message, str)
        self._feed.add(message, passing=message.startswith(_PARTIAL))

    async def close(self, code: int, reason: str) -> None:
        self.close_code = code
        await self._transport.send(self._goodbye)
        await self._transport.close(code, reason)

    def hand_over(self, take: AudioTaker) -> None:
        self._transport.hand_over(take)


class CallEvents:
    """The route of the events."""

    def __init__(self, context: AppContext) -> None:
        self._context = context

    async def answer(self, request: Request) -> Response:
        session_id = call_id(request.path_params["id"])
        followed = self._context.feeds.follow(session_id, last_event(request.headers), CALL_WAIT_SECONDS)
        return EventAnswer(_blocks(followed))


async def _blocks(messages: AsyncGenerator[FeedMessage]) -> AsyncGenerator[bytes]:
    try:
        async with aclosing(with_pauses(messages, QUIET_SECONDS)) as told:
            async for message in told:
                yield QUIET_COMMENT if message is None else _block(message)
    except RequestError as exc:
        yield failure_block(exc)


def _block(message: FeedMessage) -> bytes:
    last = "true" if message.text.startswith(_END) else "false"
    return f'id: {message.number}\ndata: {message.text[:-1]},"last":{last}}}\n\n'.encode()
