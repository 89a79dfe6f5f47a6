"""Connections of peers that are slow, silent, broken or hostile, through a real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import websockets
from hypothesis import given
from hypothesis import strategies as st
from starlette.websockets import WebSocket

from gigastt.config import Limits
from gigastt.gateway.context import AppContext
from gigastt.gateway.server.deadlines import Deadlines
from gigastt.gateway.server.ws_keepalive import MISSED_PINGS
from tests.fakes.gateway import Running, serving
from tests.fakes.pool import Fakes
from tests.properties import tries
from tests.raw_client import connect_raw
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

UPGRADE = (
    "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
QUICK = Deadlines(head=0.2, body=0.3, linger=0.2, unread=0.3, ping=0.1)


async def assert_serves(running: Running) -> None:
    async with httpx.AsyncClient(base_url=running.http) as client:
        assert (await client.get("/health")).status_code == 200


def code(body: bytes) -> str:
    return str(json.loads(body)["code"])


async def test_a_silent_connection_is_cut() -> None:
    async with serving(Fakes().context(), deadlines=QUICK) as running, connect_raw(running) as client:
        status, headers, body = await client.answer()
        assert (status, code(body)) == (408, "request_timeout")
        assert headers["connection"] == "close"
        assert headers["vary"] == "Origin"
        assert await client.closed()


@pytest.mark.parametrize("drip", ["GET /health HTTP/1.1\r\nX-Slow: ", "\r\n\r\n", "GET /"])
async def test_dripping_headers_are_cut(drip: str) -> None:
    async with serving(Fakes().context(), deadlines=QUICK) as running, connect_raw(running) as client:
        client.write(drip)
        answer = asyncio.create_task(client.answer())
        while not answer.done():
            client.write("\r\n" if drip == "\r\n\r\n" else "a")
            await asyncio.wait({answer}, timeout=0.02)
        status, _, body = answer.result()
        assert (status, code(body)) == (408, "request_timeout")
        await assert_serves(running)


async def test_dripping_a_second_request_is_cut_too() -> None:
    async with serving(Fakes().context(), deadlines=QUICK) as running, connect_raw(running) as client:
        client.write("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await client.answer())[0] == 200
        client.write("GET /hea")
        assert (await client.answer())[0] == 408
        assert await client.closed()


async def test_a_dripping_body_is_cut() -> None:
    async with serving(Fakes().context(), deadlines=QUICK) as running, connect_raw(running) as client:
        client.write("POST /v1/transcribe HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
        answer = asyncio.create_task(client.answer())
        while not answer.done():
            client.write("a")
            await asyncio.wait({answer}, timeout=0.02)
        assert code(answer.result()[2]) == "request_timeout"
        await wait_until(lambda: not running.server.server_state.tasks)


async def test_a_body_that_makes_progress_is_not_cut() -> None:
    slow = replace(QUICK, body=1.5)  # so that a busy machine does not stand still for as long
    async with serving(Fakes().context(), deadlines=slow) as running, connect_raw(running) as client:
        client.write("POST /v1/transcribe HTTP/1.1\r\nHost: localhost\r\nContent-Length: 400000\r\n\r\n")
        for _ in range(40):
            client.write(b"a" * 10_000)
            await asyncio.wait({asyncio.create_task(asyncio.sleep(0.05))})
        assert (await client.answer())[0] == 200


async def test_headers_without_end_are_refused() -> None:
    async with serving(Fakes().context()) as running, connect_raw(running) as client:
        client.write("GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: " + "a" * 200_000)
        status, _, body = await client.answer()
        assert (status, code(body)) == (431, "headers_too_large")


@pytest.mark.parametrize(
    "request_text",
    [
        "HELLO\r\n\r\n",
        "GET /health HTTP/9.9\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00",
        "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST /v1/transcribe HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_told_so_in_json(request_text: str) -> None:
    async with serving(Fakes().context()) as running, connect_raw(running) as client:
        client.write(request_text)
        status, headers, body = await client.answer()
        assert (status, code(body)) == (400, "bad_request")
        assert headers["content-type"] == "application/json"
        await assert_serves(running)


@pytest.mark.parametrize(
    ("request_text", "status", "expected"),
    [
        (UPGRADE.replace("13", "7") + "\r\n", 400, "bad_request"),
        (UPGRADE.replace("AAAAAAAAAAAAAAAAAAAAAA==", "short") + "\r\n", 400, "bad_request"),
        (UPGRADE.replace("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", "") + "\r\n", 400, "bad_request"),
        (UPGRADE.replace("GET", "POST") + "Content-Length: 0\r\n\r\n", 405, "method_not_allowed"),
        (UPGRADE.replace("Connection: Upgrade\r\n", "") + "\r\n", 426, "upgrade_required"),
        (UPGRADE + "X-Long: " + "a" * 20_000 + "\r\n\r\n", 431, "headers_too_large"),
        (UPGRADE + "".join(f"X-{n}: 1\r\n" for n in range(300)) + "\r\n", 431, "headers_too_large"),
        (UPGRADE.replace("/v1/ws", "/nothing") + "\r\n", 404, "not_found"),
        (UPGRADE.replace("/v1/ws", "/health") + "\r\n", 404, "not_found"),
    ],
)
async def test_broken_handshakes_are_refused_in_json(request_text: str, status: int, expected: str) -> None:
    async with serving(Fakes().context()) as running, connect_raw(running) as client:
        client.write(request_text)
        answered, headers, body = await client.answer()
        assert (answered, code(body)) == (status, expected)
        assert headers["vary"] == "Origin"
        await assert_serves(running)


async def test_a_frame_over_the_limit_closes_with_1009_and_the_server_goes_on() -> None:
    context = Fakes().context(Limits(ws_frame_max_bytes=1000))
    async with serving(context) as running:
        async with websockets.connect(f"{running.ws}/v1/ws") as session:
            await session.send(b"x" * 1000)
            assert json.loads(await session.recv()) == {"bytes": 1000}
            await session.send(b"x" * 1001)
            await session.wait_closed()
            assert session.close_code == 1009
        session = await websockets.connect(f"{running.ws}/v1/ws")
        with contextlib.suppress(websockets.ConnectionClosed):
            await session.send(b"x" * 20_000_000)
        await session.wait_closed()
        assert session.close_code == 1009
        await assert_serves(running)
        await wait_until(lambda: not running.server.server_state.tasks)


async def test_a_new_frame_limit_applies_to_new_connections() -> None:
    async with serving(Fakes().context(Limits(ws_frame_max_bytes=1000))) as running:
        running.server.change_frame_limit(2000)
        async with websockets.connect(f"{running.ws}/v1/ws") as session:
            await session.send(b"x" * 1500)
            assert json.loads(await session.recv()) == {"bytes": 1500}


async def test_a_message_in_endless_pieces_is_refused() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b""
            await asyncio.sleep(0)

    async with serving(Fakes().context()) as running, websockets.connect(f"{running.ws}/v1/ws") as session:
        with pytest.raises(websockets.ConnectionClosed):
            await session.send(pieces())
        assert session.close_code == 1008


async def test_text_that_is_not_utf8_closes_with_1007() -> None:
    async with serving(Fakes().context()) as running, websockets.connect(f"{running.ws}/v1/ws") as session:
        await session.send(b"\xff\xfe", text=True)
        await session.wait_closed()
        assert session.close_code == 1007


async def test_compression_is_not_offered() -> None:
    async with (
        serving(Fakes().context()) as running,
        websockets.connect(f"{running.ws}/v1/ws", compression="deflate") as session,
    ):
        assert session.protocol.extensions == []


async def test_a_peer_that_answers_no_ping_is_dropped() -> None:
    async with serving(Fakes().context(), deadlines=QUICK) as running, connect_raw(running) as client:
        client.write(UPGRADE + "\r\n")
        assert b"101" in await client.reader.readline()
        assert await client.closed()
        await wait_until(lambda: not running.server.server_state.tasks)


async def test_a_peer_that_answers_pings_stays() -> None:
    async with (
        serving(Fakes().context(), deadlines=QUICK) as running,
        connect_raw(running) as client,
        asyncio.timeout(60),
    ):
        client.write(UPGRADE + "\r\n")
        await client.reader.readuntil(b"\r\n\r\n")
        for _ in range(2 * MISSED_PINGS):
            ping, length = await client.reader.readexactly(2)
            assert ping == 0x89
            pong = await client.reader.readexactly(length)
            client.write(bytes([0x8A, 0x80 | length, 0, 0, 0, 0]) + pong)  # masked with zeros
        client.write(b"\x82\x83\0\0\0\0abc")
        assert await client.reader.readuntil(b"}") == b'\x81\x0b{"bytes":3}'


async def shout(websocket: WebSocket, context: AppContext) -> None:
    await websocket.accept()
    while True:
        await websocket.send_text("x" * 10_000)


async def test_a_websocket_client_that_does_not_read_is_dropped() -> None:
    async with serving(Fakes().context(), native=shout, deadlines=QUICK) as running, connect_raw(running) as client:
        client.write(UPGRADE + "\r\n")
        await wait_until(lambda: running.server.server_state.tasks)
        await wait_until(lambda: not running.server.server_state.tasks)
        assert not running.server.server_state.connections
        del client


async def test_a_client_that_does_not_read_events_is_dropped() -> None:
    async def endless() -> AsyncIterator[Any]:
        from tests.fakes.pool import final

        while True:
            yield final("слово " * 1000)

    from tests.fakes.pool import FakeTranscriber

    fakes = Fakes(transcriber=FakeTranscriber(endless))  # type: ignore[arg-type]
    async with serving(fakes.context(), deadlines=QUICK) as running, connect_raw(running) as client:
        client.write("POST /v1/transcribe/stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nabcd")
        await wait_until(lambda: fakes.transcriber.request_ids)
        await wait_until(lambda: not running.server.server_state.tasks)
        assert fakes.decoder.segments[0].freed
        assert fakes.pool.places.active == 0


@tries(10)
@given(st.lists(st.tuples(st.binary(max_size=300), st.booleans()), min_size=1, max_size=20))
def test_no_bytes_bring_the_server_down(attacks: list[tuple[bytes, bool]]) -> None:
    async def attack_all() -> None:
        failures: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        async with serving(Fakes().context(), deadlines=QUICK) as running:
            for garbage, upgraded in attacks:
                async with connect_raw(running) as client:
                    if upgraded:
                        client.write(UPGRADE + "\r\n")
                        await client.reader.readuntil(b"\r\n\r\n")
                    client.write(garbage)
            await assert_serves(running)
        assert failures == []

    asyncio.run(attack_all())
