"""WebSockets as a transport of conversations.

A client waits for its place behind the upgrade. With `Prefer: wait=N` it does so before, for N seconds: a full server
then refuses the upgrade with 503, and a proxy can ask another. A client that names a session of this server in the
query comes back to a place.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TypeAlias

from starlette.websockets import WebSocket, WebSocketDisconnect

from gigastt.gateway.api.dialect import Dialect, Message
from gigastt.gateway.api.entrance import seconds_to_wait
from gigastt.gateway.api.shell import converse
from gigastt.gateway.api.transport import AudioTaker, ConnectionLost, InputEnded
from gigastt.gateway.context import AppContext
from gigastt.gateway.pool.admission import Guest
from gigastt.gateway.requests import ClientGone, exchange_of
from gigastt.gateway.server.ws_protocol import INPUT_ENDED, TAKER

_SAID_GOODBYE = (1000, 1001)  # close codes of a client that is done, and of a page that is being left

Endpoint: TypeAlias = Callable[[WebSocket, AppContext], Awaitable[None]]


def speak(dialect_of: Callable[[WebSocket], Dialect]) -> Endpoint:
    """Return an endpoint that serves each WebSocket in the dialect made for it.

    `dialect_of` sees the request before it is accepted; a RequestError from it refuses the upgrade.
    """

    async def serve(websocket: WebSocket, context: AppContext) -> None:
        dialect, exchange = dialect_of(websocket), exchange_of(websocket.scope)
        guest: Guest | None = None
        admission: AbstractAsyncContextManager[None] = nullcontext()
        is_back = context.waiting_room.find(websocket.query_params.get("session", "")) is not None
        if not is_back and (wait := seconds_to_wait(websocket.headers.getlist("prefer"))) is not None:
            guest = Guest(exchange.client)
            admission = context.pool.places.admit(min(wait, context.limits.pool_checkout_timeout_secs), guest)
        async with admission:
            await websocket.accept(subprotocol=exchange.subprotocol)
            transport = WebSocketTransport(websocket)
            resumption = await converse(transport, dialect, context, exchange, guest)
        await resumption.lend(transport)  # without a place: the session it comes back to has one

    return serve


class WebSocketTransport:
    """One accepted WebSocket."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> Message | InputEnded:
        """Wait for the next message."""
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise ClientGone if message.get("code") in _SAID_GOODBYE else ConnectionLost
        if (close_code := message.get(INPUT_ENDED)) is not None:
            return InputEnded(close_code)
        text: str | None = message.get("text")
        return text if text is not None else message.get("bytes") or b""

    async def send(self, message: Message) -> None:
        """Send a text or binary message."""
        try:
            if isinstance(message, str):
                await self._websocket.send_text(message)
            else:
                await self._websocket.send_bytes(message)
        except (RuntimeError, WebSocketDisconnect) as exc:  # it hung up, or did so before another message
            raise ClientGone from exc

    async def close(self, code: int, reason: str) -> None:
        """Close with a code."""
        try:
            await self._websocket.close(code, reason)
        except (RuntimeError, WebSocketDisconnect) as exc:  # it is closed already
            raise ClientGone from exc

    def hand_over(self, take: AudioTaker) -> None:
        """Let the connection offer what arrives in one whole binary frame to `take` first."""
        if (set_taker := self._websocket.scope["state"].get(TAKER)) is not None:
            set_taker(take)
