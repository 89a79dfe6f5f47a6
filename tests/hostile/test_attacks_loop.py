"""One connection's bytes, however they are cut, leave the event loop to the others: measured pass by pass."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.hostile.peer import BINARY, PING, PONG, TEXT, Target, frame
from gigastt.gateway.app import NATIVE
from tests.fakes.gateway import serving
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.pool import Fakes
from tests.hostile.attackers import LoopWatch, flood_http, flood_websocket

MOST_SECONDS = 0.06  # of processor time in one pass
MOST_LARGE_SECONDS = 0.03  # of a message or a head that is dear by what is in it; unbounded 0.1 and more
FLOOD_BYTES = 512 * 1024
WAIT_SECONDS = 3.0

pytestmark = pytest.mark.slow

HANDSHAKE = (
    "GET /v1/ws", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)  # fmt: skip


def flood(unit: bytes) -> bytes:
    return unit * (FLOOD_BYTES // len(unit))


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param(frame(BINARY, b"x"), id="one byte each"),
        pytest.param(frame(BINARY), id="empty"),
        pytest.param(frame(PING), id="pings"),
        pytest.param(frame(PONG), id="pongs"),
        pytest.param(frame(TEXT, b'{"type":"configure","sample_rate":16000}'), id="configure"),
        pytest.param(frame(0x02) + (frame(0x00) + frame(PING)) * 1_000 + frame(0x80), id="empty fragments"),
    ],
)
async def test_small_frames_leave_the_loop_to_others(unit: bytes) -> None:
    fakes = Fakes(pool=MemoryPool(automatic=True))
    async with serving(fakes.context(), native=NATIVE) as running:
        handshake = Target(running.port, WAIT_SECONDS).head(*HANDSHAKE)
        with LoopWatch() as watch:
            await asyncio.to_thread(flood_websocket, running.port, handshake, flood(unit), WAIT_SECONDS)
    assert watch.longest_seconds <= MOST_SECONDS


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("{}," * 150_000, id="objects"),
        pytest.param("[]," * 150_000, id="lists"),
        pytest.param("1," * 240_000, id="numbers"),
        pytest.param("1.5e308," * 60_000, id="floats"),
    ],
)
async def test_large_configurations_leave_the_loop_to_others(content: str) -> None:
    configure = f'{{"type":"configure","itn":[{content}1]}}'.encode()
    head = bytes([TEXT, 0xFF]) + len(configure).to_bytes(8) + bytes(4)
    fakes = Fakes(pool=MemoryPool(automatic=True))
    async with serving(fakes.context(), native=NATIVE) as running:
        handshake = Target(running.port, WAIT_SECONDS).head(*HANDSHAKE)
        with LoopWatch() as watch:
            await asyncio.to_thread(flood_websocket, running.port, handshake, head + configure, WAIT_SECONDS)
    assert watch.longest_seconds <= MOST_LARGE_SECONDS


@pytest.mark.parametrize("path", ["/v1/ws", "/v1/listen", "/v1/realtime", "/v1/jobs/1"])
@pytest.mark.parametrize("name", ["{:x}", "pqrsaw{:x}"])
async def test_long_queries_leave_the_loop_to_others(path: str, name: str) -> None:
    query = "&".join(f"{name.format(number)}=" for number in range(13_000))[:60_000]
    async with serving(Fakes().context(), native=NATIVE) as running:
        head = Target(running.port, WAIT_SECONDS).head(f"GET {path}?{query}", *HANDSHAKE[1:])
        with LoopWatch() as watch:
            await asyncio.to_thread(flood_http, running.port, head, b"invalid_parameter", WAIT_SECONDS)
    assert watch.longest_seconds <= MOST_LARGE_SECONDS


async def test_pipelined_requests_leave_the_loop_to_others() -> None:
    async with serving(Fakes().context()) as running:
        target = Target(running.port, WAIT_SECONDS)
        requests = flood(target.head("GET /")) + target.head("GET /health", "Connection: close")
        with LoopWatch() as watch:
            await asyncio.to_thread(flood_http, running.port, requests, b'"ok"', WAIT_SECONDS)
    assert watch.longest_seconds <= MOST_SECONDS


@pytest.mark.parametrize(
    ("unit", "first"),
    [
        pytest.param(b"1\r\nx\r\n", b"", id="one byte each"),
        pytest.param(b"1;" + b"x" * 32_768 + b"\r\nx\r\n", b"", id="long extensions"),
        pytest.param(b"x" * 1024, b"1;", id="one endless extension"),
    ],
)
async def test_small_chunks_leave_the_loop_to_others(unit: bytes, first: bytes) -> None:
    async with serving(Fakes().context()) as running:
        head = Target(running.port, WAIT_SECONDS).head("POST /v1/transcribe", "Transfer-Encoding: chunked")
        with LoopWatch() as watch:
            await asyncio.to_thread(
                flood_http, running.port, head + first + flood(unit) + b"0\r\n\r\n", b"\r\n\r\n{", WAIT_SECONDS
            )
    assert watch.longest_seconds <= MOST_SECONDS


async def test_ten_thousand_headers_leave_the_loop_to_others() -> None:
    async with serving(Fakes().context()) as running:
        head = Target(running.port, WAIT_SECONDS).head("GET /health", *(f"{number}:1" for number in range(10_000)))
        with LoopWatch() as watch:
            await asyncio.to_thread(flood_http, running.port, head, b"}", WAIT_SECONDS)
    assert watch.longest_seconds <= MOST_SECONDS
