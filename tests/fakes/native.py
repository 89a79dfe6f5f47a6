"""Clients of `/v1/ws`, through a real server and real sockets, over workers in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from gigastt.config import Limits
from gigastt.gateway.app import NATIVE
from gigastt.gateway.context import AppContext
from tests.fakes.gateway import Running, serving
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.pool import Fakes
from tests.fakes.scripted import speech


def memory_context(pool: MemoryPool, limits: Limits | None = None) -> AppContext:
    return Fakes(pool=pool).context(limits)


@asynccontextmanager
async def server(pool: MemoryPool, limits: Limits | None = None) -> AsyncIterator[Running]:
    async with serving(memory_context(pool, limits), native=NATIVE) as running:
        yield running


class Client:
    """A WebSocket client that remembers what it was told."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.messages: list[dict[str, Any]] = []

    async def receive(self, kind: str) -> dict[str, Any]:
        """Read up to the next message of a kind."""
        async with asyncio.timeout(60):
            while True:
                message: dict[str, Any] = json.loads(await self.socket.recv())
                self.messages.append(message)
                if message["type"] == kind:
                    return message

    async def configure(self, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": "configure", **fields}))

    async def speak(self, *values: int) -> None:
        await self.socket.send(speech(values).tobytes())

    async def stop(self) -> int:
        """Send `stop`, read to the end, and return the close code."""
        await self.socket.send('{"type":"stop"}')
        return await self.read_to_close()

    async def read_to_close(self) -> int:
        async with asyncio.timeout(60):
            try:
                while True:
                    self.messages.append(json.loads(await self.socket.recv()))
            except ConnectionClosed:
                assert self.socket.close_code is not None
                return self.socket.close_code

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]


@asynccontextmanager
async def client(running: Running, path: str = "/v1/ws", **options: Any) -> AsyncIterator[Client]:
    async with connect(f"{running.ws}{path}", **options) as socket:
        yield Client(socket)


@asynccontextmanager
async def session(
    pool: MemoryPool | None = None, limits: Limits | None = None, **configuration: Any
) -> AsyncIterator[Client]:
    """A session at 16 kHz that is ready."""
    async with server(pool or MemoryPool(automatic=True), limits) as running, client(running) as connected:
        await connected.receive("ready")
        await connected.configure(**{"sample_rate": 16_000} | configuration)
        yield connected
