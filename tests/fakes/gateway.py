"""Ways into an application: in memory, or through a real server on a free port of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketDisconnect

from gigastt.gateway.api.websocket import Endpoint
from gigastt.gateway.app import create_app, create_plain_app
from gigastt.gateway.assembly import routes_of
from gigastt.gateway.context import AppContext
from gigastt.gateway.server.listener import ConnectionFactory, Server, bind
from tests.fakes.pool import Fakes
from tests.waiting import wait_until

LOCAL = "http://127.0.0.1:9876"
ROUTES = routes_of(create_app(Fakes().context()).routes)  # each path that a server answers, and its methods


async def echo(websocket: WebSocket, context: AppContext) -> None:
    """Accept, and answer every frame with its length, until the client leaves."""
    await websocket.accept()
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            payload = message.get("bytes") or (message.get("text") or "").encode()
            await websocket.send_json({"bytes": len(payload)})
    except WebSocketDisconnect:
        return


def http_client(context: AppContext, peer: str = "127.0.0.1", base_url: str = LOCAL) -> httpx.AsyncClient:
    """Return a client that calls the application in memory, as if from `peer`."""
    transport = httpx.ASGITransport(create_app(context, echo), client=(peer, 5000))
    return httpx.AsyncClient(transport=transport, base_url=base_url)


@dataclass
class Running:
    """A server that listens."""

    server: Server
    task: asyncio.Task[None]
    port: int

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"


@asynccontextmanager
async def serving(
    context: AppContext,
    app: Callable[[AppContext], ASGIApp] | None = None,
    native: Endpoint = echo,
    *,
    tcp: ConnectionFactory | None = None,
    **server: Any,
) -> AsyncIterator[Running]:
    """Serve a context on a free port, without touching the process's signals.

    Args:
        native: stands behind `/v1/ws`.
        tcp: makes the connections, of a protocol without HTTP.
    """
    [listener] = bind("127.0.0.1", 0)
    running = Server(
        app(context) if app is not None else create_app(context, native),
        max_frame_bytes=context.limits.ws_frame_max_bytes,
        begin_drain=context.pool.begin_drain,
        drain_seconds=lambda: context.limits.shutdown_drain_secs,
        handle_signals=False,
        connections=context.connections,
        plain_app=create_plain_app(context) if server.get("certificate") else None,
        protocols={listener.getsockname()[1]: tcp} if tcp is not None else None,
        **server,
    )
    task = asyncio.create_task(running.serve([listener]))
    await wait_until(lambda: running.started)
    try:
        yield Running(running, task, running.port)
    finally:
        running.stop(force=True)
        await asyncio.wait_for(task, 60)
