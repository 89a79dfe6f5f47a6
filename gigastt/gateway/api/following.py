"""`GET /v1/sessions/{id}/events`: reading along with a live session, as server-sent events.

    id: 7
    data: {"type":"final",…}

The events are those of `/v1/ws`, in whichever dialect the session is held. Runs in the task of its request.
"""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from gigastt.errors import NotFound
from gigastt.gateway.api import wire
from gigastt.gateway.api.dialect import Moment
from gigastt.gateway.api.event_stream import EVENT_HEADERS, QUIET_COMMENT, QUIET_SECONDS
from gigastt.gateway.api.native_files import until_hung_up
from gigastt.gateway.context import AppContext
from gigastt.gateway.followers import Channel, Reader
from gigastt.transcript import Final, Gap, Partial


def tell_followers(channel: Channel, event: Partial | Final | Gap, moment: Moment) -> None:
    """Tell the readers of a session what its client is told."""
    match event:
        case Partial():
            if channel.readers:
                channel.tell(wire.partial(event, moment), is_final=False, track=event.channel)
        case Final():
            message = wire.final(event, channels=moment.channels)
            channel.tell(message, is_final=bool(event.text), track=event.channel)
        case Gap():
            channel.tell(wire.failure(event, channels=moment.channels), is_final=True, track=event.channel)


class Following:
    """The route, an ASGI application."""

    def __init__(self, context: AppContext) -> None:
        self._followers = context.followers
        context.pool.drain_listeners.add(context.followers.end_unowned)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        channel = self._followers.find(scope["path_params"]["id"])
        if channel is None:
            raise NotFound("There is no live session of that id.")
        last = Headers(scope=scope).get("last-event-id", "")
        reader = channel.join(int(last) if last.isascii() and last.isdigit() and len(last) < 10 else 0)
        try:
            await until_hung_up(receive, _answer(reader, send))
        finally:
            channel.leave(reader)


async def _answer(reader: Reader, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": EVENT_HEADERS})
    blocks = QUIET_COMMENT
    while not (reader.ended and not blocks):
        await send({"type": "http.response.body", "body": blocks, "more_body": True})
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                blocks = await reader.take()
        except TimeoutError:
            blocks = QUIET_COMMENT
    await send({"type": "http.response.body", "body": b"", "more_body": False})
