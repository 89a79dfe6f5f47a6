"""A server for calls: the main listener and one of a telephone protocol, over one context; and who follows a call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from gigastt.gateway.context import AppContext
from gigastt.gateway.server.listener import ConnectionFactory
from tests.fakes.gateway import Running, serving
from tests.raw_client import RawClient, connect_raw


@dataclass
class CallServer:
    """Both listeners."""

    context: AppContext
    http: Running
    tcp: Running

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[RawClient]:
        async with connect_raw(self.tcp) as client:
            yield client

    async def events(self, call: str, **headers: str) -> list[dict[str, Any]]:
        """Follow a call to its end."""
        told: list[dict[str, Any]] = []
        async for event in follow(self.http.http, call, **headers):
            told.append(event)
        return told


async def follow(url: str, call: str, **headers: str) -> AsyncIterator[dict[str, Any]]:
    """Yield the events of a call; each with its number as `id`."""
    async with (
        httpx.AsyncClient(base_url=url, timeout=60) as client,
        client.stream("GET", f"/v1/sessions/{call}/events", headers=headers) as answer,
    ):
        assert answer.status_code == 200
        number = ""
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                number = value
            elif name == "data":
                yield {**json.loads(value), "id": int(number or 0)}


@asynccontextmanager
async def call_server(
    context: AppContext, protocol: Callable[[AppContext], ConnectionFactory], **server: Any
) -> AsyncIterator[CallServer]:
    async with serving(context) as http, serving(context, tcp=protocol(context), **server) as tcp:
        yield CallServer(context, http, tcp)


async def told(socket: ClientConnection) -> list[dict[str, Any]]:
    """Read what a WebSocket is told, in JSON, up to its close."""
    messages: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        with suppress(ConnectionClosed):
            while True:
                messages.append(json.loads(await socket.recv()))
    return messages
