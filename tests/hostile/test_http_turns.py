"""Bodies in tiny chunks: the event loop stays with everybody; and a connection that has ended is freed at once."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref

import pytest

from gigastt.gateway.server.http_protocol import HttpConnection
from tests.fakes.gateway import serving
from tests.fakes.pool import Fakes
from tests.hostile.raw_http import Bench, noting, on_uvloop
from tests.hostile.raw_http_cases import EARLY, GET, POST
from tests.raw_client import connect_raw
from tests.waiting import wait_until

MOST_SECONDS = 0.04  # of processor time in one pass of the loop; a read of tiny chunks in one go takes 0.15 and more


@on_uvloop
async def test_tiny_chunks_do_not_hold_up_the_loop() -> None:
    passes: list[float] = []

    async def measure() -> None:
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            passes.append(now - before)
            before = now

    async with noting() as bench:
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
        writer.write(POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 300_000 + b"0\r\n\r\n")
        gc.collect()
        gc.disable()
        measuring = asyncio.create_task(measure())
        try:
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        finally:
            gc.enable()
            measuring.cancel()
        assert bench.notebook.served == ["POST /a 300000"]
        assert max(passes) < MOST_SECONDS
        writer.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        GET,
        GET + b"\r\n",
        (GET + b"\r\n") * 3,
        POST + b"Content-Length: 10\r\n\r\nabc",
        POST + b"Content-Length: 3\r\n\r\nabc",
        EARLY + b"Content-Length: 10\r\n\r\nabc",
        b"HELLO\r\n\r\n",
        POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
        GET + b"Connection: close\r\n\r\n",
    ],
)
@pytest.mark.parametrize("reset", [False, True])
@on_uvloop
async def test_a_connection_that_has_ended_holds_nothing(raw: bytes, reset: bool) -> None:
    async with noting() as bench:
        _, writer = await asyncio.open_connection("127.0.0.1", bench.port)
        writer.write(raw)
        held = await connections_of(bench)
        gc.collect()
        gc.disable()
        try:
            await asyncio.wait({asyncio.create_task(asyncio.sleep(0.05))})  # whatever it does, let it do some of it
            if reset:
                writer.transport.abort()
            else:
                writer.close()
            await wait_until(lambda: not bench.server.server_state.connections)
            await wait_until(lambda: not bench.server.server_state.tasks)
            await wait_until(lambda: all(reference() is None for reference in held), timeout=3)
        finally:
            gc.enable()


async def connections_of(bench: Bench) -> list[weakref.ref[object]]:
    await wait_until(lambda: bench.server.server_state.connections)
    return [weakref.ref(connection) for connection in bench.server.server_state.connections]


@on_uvloop
async def test_one_that_became_a_websocket_holds_nothing() -> None:
    async with serving(Fakes().context()) as running, connect_raw(running) as client:
        await wait_until(lambda: running.server.server_state.connections)
        held = [weakref.ref(connection) for connection in running.server.server_state.connections]
        assert isinstance(held[0](), HttpConnection)
        gc.collect()
        gc.disable()
        try:
            client.write(
                "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            assert b"101" in await client.reader.readline()
            await wait_until(lambda: held[0]() is None, timeout=3)
        finally:
            gc.enable()
