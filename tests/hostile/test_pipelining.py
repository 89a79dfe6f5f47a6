"""Requests sent one behind the other: bounded, answered in turn, and the first one's hang-up is heard all the same."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import struct

import pytest
from starlette.types import Receive, Scope, Send

from gigastt.config import Limits
from gigastt.gateway.server.deadlines import Deadlines
from gigastt.gateway.server.http_protocol import HttpConnection
from tests.fakes.gateway import serving
from tests.fakes.pool import Fakes
from tests.hostile.raw_http import noting, on_uvloop, read
from tests.raw_client import connect_raw
from tests.waiting import wait_until

GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
LINGERING = b"POST /early HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
QUICK = Deadlines(probe=0.1)


@on_uvloop
async def test_what_waits_is_bounded_and_nothing_is_parsed_ahead() -> None:
    async with serving(Fakes().context()) as running, connect_raw(running) as client:
        try:
            sent = most = tasks = 0
            for _ in range(200):
                client.write(GET * 5_000)
                sent += 5_000 * len(GET)
                await asyncio.sleep(0)
            connections = [held for held in gc.get_objects() if type(held) is HttpConnection]
            for _ in range(200):
                most = max(most, *(connection.turns.waiting for connection in connections))
                tasks = max(tasks, len(running.server.server_state.tasks))
                await asyncio.sleep(0)
            assert 0 < most <= 2 * 256 * 1024 < sent  # two reads at the very most
            assert 0 < tasks <= 2  # one is answered, the one before may be ending
        finally:
            client.writer.transport.abort()
        await wait_until(lambda: not running.server.server_state.connections)


@on_uvloop
async def test_every_request_counts_against_the_rate() -> None:
    request = GET.replace(b"/health", b"/v1/models")
    async with (
        serving(Fakes().context(Limits(rate_limit_per_minute=60, rate_limit_burst=3))) as running,
        connect_raw(running) as client,
    ):
        client.write(request * 6)
        statuses = [(await client.answer())[0] for _ in range(6)]
        assert statuses == [200, 200, 200, 429, 429, 429]


@pytest.mark.parametrize("behind", [b"", GET, GET * 1_000], ids=["alone", "one behind", "1,000 behind"])
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@on_uvloop
async def test_hanging_up_is_heard_behind_other_requests(behind: bytes, reset: bool) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait_for_the_client(scope: Scope, receive: Receive, send: Send) -> None:
        await read(receive)
        begun.set()
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            ended.set()

    async with noting(QUICK, wait_for_the_client) as bench:
        sock = socket.create_connection(("127.0.0.1", bench.port))
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.send(b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc" + behind)
        await begun.wait()
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        await asyncio.wait_for(ended.wait(), 10)
        await wait_until(lambda: not bench.server.server_state.tasks)


@on_uvloop
async def test_the_linger_of_one_request_does_not_cut_the_body_of_the_next() -> None:
    deadlines = Deadlines(linger=0.1)
    async with noting(deadlines) as bench:
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
        writer.write(LINGERING + b"POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nabc")
        assert b"413" in await reader.readuntil(b"/early")
        await asyncio.wait({asyncio.create_task(reader.read(1))}, timeout=5 * deadlines.linger)
        writer.write(b"def")
        await writer.drain()
        await wait_until(lambda: "POST /slow 6" in bench.notebook.served)
        writer.close()


@on_uvloop
async def test_the_second_body_may_take_longer_than_the_linger_while_the_first_is_answered() -> None:
    go_on = asyncio.Event()
    bodies: list[int | None] = []

    async def answer_late(scope: Scope, receive: Receive, send: Send) -> None:
        bodies.append(await read(receive))
        await go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    post = b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nabc"
    async with noting(Deadlines(linger=0.1), answer_late) as bench:
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
        writer.write(post + b"def" + post)
        await wait_until(lambda: bodies)
        go_on.set()
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.wait({asyncio.create_task(asyncio.Event().wait())}, timeout=0.5)
        writer.write(b"def")
        await reader.readuntil(b"\r\n\r\n")
        assert bodies == [6, 6]
        writer.close()
