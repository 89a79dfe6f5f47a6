"""Transports: the port through which a conversation's messages come and go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from gigastt.gateway.api.dialect import Message
from gigastt.gateway.requests import ClientGone

Answers: TypeAlias = Sequence[Message] | None  # to a binary message; None: it was not taken
AudioTaker: TypeAlias = Callable[[bytes], Answers]


class ConnectionLost(ClientGone):
    """The connection has ended without the client's saying that its session has: it may come back."""


@dataclass(frozen=True, slots=True)
class InputEnded:
    """The client sends no more but can be told something; close with `close_code` after it."""

    close_code: int


class Transport(Protocol):
    """A connection that carries whole messages both ways. `ClientGone` from any method: the client hung up."""

    async def receive(self) -> Message | InputEnded:
        """Wait for the client's next message."""
        ...

    async def send(self, message: Message) -> None:
        """Send a message; wait while the client does not read."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close with a code of WebSocket, or as the transport says it; nothing may follow."""
        ...

    def hand_over(self, take: AudioTaker) -> None:
        """Offer binary messages to `take` before they are queued for `receive`, and send its answers at once."""
        ...
