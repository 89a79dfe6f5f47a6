"""A WebSocket client for tests: it sends what it is told and keeps everything that comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.waiting import wait_until


class LiveClient:
    """One session from its `ready` on."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.messages: list[dict[str, Any]] = []
        self.close_code: int | None = None

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return every message of one type, so far."""
        return [message for message in self.messages if message["type"] == kind]

    @property
    def finals(self) -> list[dict[str, Any]]:
        """Every final that has words."""
        return [message for message in self.of("final") if message["text"]]

    @property
    def text(self) -> str:
        return " ".join(final["text"] for final in self.finals)

    async def send(self, **message: Any) -> None:
        """Send a control message."""
        await self.socket.send(json.dumps(message))

    async def configure(self, **fields: Any) -> None:
        await self.send(type="configure", **fields)

    async def stream(self, pcm: bytes, chunk_bytes: int = 3200) -> None:
        """Send samples in chunks, as fast as the server reads."""
        for begin in range(0, len(pcm), chunk_bytes):
            await self.socket.send(pcm[begin : begin + chunk_bytes])

    async def stop(self) -> None:
        await self.send(type="stop")
        await self.wait_closed()

    async def wait_for(self, predicate: Callable[[LiveClient], object], timeout: float = 120.0) -> None:
        await wait_until(lambda: predicate(self) or self.close_code is not None, timeout)

    async def wait_closed(self, timeout: float = 120.0) -> None:
        await wait_until(lambda: self.close_code is not None, timeout)

    async def _receive(self) -> None:
        try:
            while True:
                self.messages.append(json.loads(await self.socket.recv()))
        except ConnectionClosed:
            self.close_code = self.socket.close_code


@asynccontextmanager
async def live_client(url: str, **options: Any) -> AsyncIterator[LiveClient]:
    """Open a session; its messages are read in the background until it is closed."""
    async with connect(url, compression=None, max_queue=None, open_timeout=60, **options) as socket:
        client = LiveClient(socket)
        receiving = asyncio.create_task(client._receive())
        try:
            yield client
        finally:
            await socket.close()
            await receiving


async def transcribe_live(
    url: str,
    pcm: bytes,
    *,
    rate: int = 16_000,
    chunk_bytes: int = 3200,
    ssl: SSLContext | None = None,
    **fields: Any,
) -> LiveClient:
    """Stream a whole recording, configured with further `fields`, and return the finished session."""
    async with live_client(url, ssl=ssl) as client:
        await client.configure(sample_rate=rate, **fields)
        await client.stream(pcm, chunk_bytes)
        await client.stop()
    return client


async def transcribe_amid_faults(
    url: str, pcm: bytes, strike: Callable[[], None], *, strikes: int, **fields: Any
) -> LiveClient:
    """Stream a whole recording of 16 kHz as `transcribe_live` does; `strike` after each part has been answered."""
    part_bytes = len(pcm) // strikes
    async with live_client(url) as client:
        await client.configure(sample_rate=16_000, **fields)
        for begin in range(0, len(pcm), part_bytes):
            seen = len(client.messages)
            await client.stream(pcm[begin : begin + part_bytes])
            await client.wait_for(lambda c, seen=seen: len(c.messages) > seen)  # type: ignore[misc]
            strike()
        await client.stop()
    return client
