"""Turns of a connection that speaks Wyoming: between two transcripts it holds no place, and is answered at once.

    connection ─┬─ describe, ping ─→ answer
                └─ transcribe, audio ─→ a conversation up to its transcript ─→ the next turn

So `info` comes while the model loads, and on a server without a free place.
"""

from __future__ import annotations

import asyncio

from gigastt.gateway.access.addresses import parse_networks
from gigastt.gateway.api.conversation import CLOSE_NORMAL
from gigastt.gateway.api.dialect import Message
from gigastt.gateway.api.shell import converse
from gigastt.gateway.api.tcp import TcpConnection, listen_for
from gigastt.gateway.api.transport import AudioTaker, InputEnded
from gigastt.gateway.api.wyoming import WyomingDialect, answer_at_once, complaint
from gigastt.gateway.api.wyoming_frames import WyomingFrames, event_of, message_of
from gigastt.gateway.context import AppContext
from gigastt.gateway.requests import Exchange
from gigastt.gateway.server.listener import ConnectionFactory

_BEGINNINGS = ("transcribe", "audio-start", "audio-chunk")


def listen_for_wyoming(context: AppContext) -> ConnectionFactory:
    """Return what makes the connections of the listener."""
    allowed = parse_networks(context.settings.wyoming_allow) or None
    return listen_for(
        WyomingDialect.name, serve_turns, lambda: WyomingFrames(context.limits.ws_frame_max_bytes), context, allowed
    )


async def serve_turns(connection: TcpConnection, context: AppContext, exchange: Exchange) -> None:
    """Serve one connection until its client has no more to ask, says nothing for too long, or the server stops."""
    while not context.pool.draining:
        message = await _next_message(connection, context)
        if message is None:
            return
        if isinstance(message, InputEnded):
            if message.close_code != CLOSE_NORMAL:
                await connection.send(complaint("invalid_message", "These bytes are no event of the Wyoming protocol."))
            return
        if isinstance(message, bytes):
            continue
        event = event_of(message)
        if event.kind in _BEGINNINGS:
            turn = _Turn(connection, message)
            await converse(turn, WyomingDialect(lambda: context.model), context, exchange)
            if turn.is_last:
                return
        elif (answer := answer_at_once(event, context.model)) is not None:
            await connection.send(message_of(answer))


async def _next_message(connection: TcpConnection, context: AppContext) -> Message | InputEnded | None:
    """Wait for a message; return None if the client is silent for too long or the server stops."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(context.limits.idle_timeout_secs or None) as patience:

            def stop_waiting() -> None:
                patience.reschedule(loop.time())

            context.pool.drain_listeners.add(stop_waiting)
            try:
                return await connection.receive()
            finally:
                context.pool.drain_listeners.discard(stop_waiting)
    except TimeoutError:
        return None


class _Turn:
    """A connection up to the end of one transcript, as a transport; what follows the client's audio waits.

    is_last: the client sends no more, or the turn went wrong.
    """

    def __init__(self, connection: TcpConnection, first: Message) -> None:
        self._connection = connection
        self._first: Message | None = first
        self._is_over = False  # the client has ended its audio
        self.is_last = False

    async def receive(self) -> Message | InputEnded:
        """Wait for the next message of the turn; after its last one, for ever."""
        if self._is_over:
            await asyncio.Event().wait()
        message, self._first = self._first, None
        if message is None:
            message_or_end = await self._connection.receive()
            if isinstance(message_or_end, InputEnded):
                self.is_last = True
                return message_or_end
            message = message_or_end
        self._is_over = isinstance(message, str) and event_of(message).kind == "audio-stop"
        return message

    async def send(self, message: Message) -> None:
        """Send an event."""
        await self._connection.send(message)

    async def close(self, code: int, reason: str) -> None:
        """Keep the connection for the next turn, unless the turn went wrong."""
        if code != CLOSE_NORMAL:
            self.is_last = True
            await self._connection.close(code, reason)

    def hand_over(self, take: AudioTaker) -> None:
        """Let the connection offer samples to `take` first."""
        self._connection.hand_over(take)
