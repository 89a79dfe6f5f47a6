"""Hostile and broken WebSocket peers of a real server with real sessions: nobody else feels them, no word is lost."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import socket
import weakref
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import websockets
from websockets.frames import Frame, Opcode

from gigastt.config import Limits
from gigastt.gateway.api.shell import Shell
from gigastt.gateway.app import NATIVE
from gigastt.gateway.pool.session import Session
from gigastt.gateway.server.deadlines import Deadlines
from gigastt.gateway.server.ws_frames import Allowance
from gigastt.gateway.server.ws_protocol import WebSocketConnection
from tests.fakes.gateway import Running, serving
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.pool import Fakes
from tests.fakes.scripted import speech
from tests.hostile.frame_fuzzer import UPGRADE
from tests.raw_client import RawClient, connect_raw
from tests.waiting import wait_until

CONFIGURE = '{"type":"configure","sample_rate":16000}'
STOP = '{"type":"stop"}'
IMPATIENT = Deadlines(linger=0.3, unread=0.6, ping=30.0, busy_ping=0.1, pong=0.3)


@contextlib.asynccontextmanager
async def live_server(
    pool: MemoryPool | None = None, limits: Limits | None = None, **options: Any
) -> AsyncIterator[Running]:
    options.setdefault("deadlines", Deadlines(linger=0.2))
    fakes = Fakes(pool=pool or MemoryPool(automatic=True))
    async with serving(fakes.context(limits), native=NATIVE, **options) as running:
        yield running


@contextlib.asynccontextmanager
async def upgraded(running: Running) -> AsyncIterator[RawClient]:
    async with connect_raw(running) as client:
        client.write(UPGRADE)
        assert b"101" in await client.reader.readuntil(b"\r\n\r\n")
        yield client


def frame(data: str | bytes, opcode: Opcode | None = None, *, fin: bool = True) -> bytes:
    payload = data.encode() if isinstance(data, str) else data
    if opcode is None:
        opcode = Opcode.TEXT if isinstance(data, str) else Opcode.BINARY
    return Frame(opcode, payload, fin).serialize(mask=True)


async def read_all(client: RawClient, *, answering: bool = False) -> tuple[list[dict[str, Any]], int | None]:
    """Read to the end of the connection; return the messages, and the code of the close frame."""
    messages: list[dict[str, Any]] = []
    code: int | None = None
    async with asyncio.timeout(10):
        while True:
            try:
                first, length = await client.reader.readexactly(2)
                if length == 126:
                    length = int.from_bytes(await client.reader.readexactly(2))
                payload = await client.reader.readexactly(length)
            except (asyncio.IncompleteReadError, ConnectionError):
                return messages, code
            if first == 0x81:
                messages.append(json.loads(payload))
            elif first == 0x88:
                code = int.from_bytes(payload[:2])
            elif first == 0x89 and answering:
                client.write(frame(payload, Opcode.PONG))


def finals(messages: list[dict[str, Any]]) -> list[str]:
    return [message["text"] for message in messages if message["type"] == "final"]


async def session_is_over(running: Running) -> None:
    await wait_until(lambda: not running.server.server_state.tasks and not running.server.server_state.connections)


# -- last words


@pytest.mark.parametrize("stop", [STOP, None])
async def test_a_half_closed_client_gets_its_final(stop: str | None) -> None:
    async with live_server() as running, upgraded(running) as client:
        client.write(frame(CONFIGURE) + frame(speech([1, 2]).tobytes()) + (frame(stop) if stop else b""))
        client.writer.write_eof()
        messages, code = await read_all(client)
        assert (finals(messages), code) == (["w1 w2"], 1000)
        await session_is_over(running)


async def test_a_client_that_sends_all_and_half_closes_while_it_waits_gets_its_final() -> None:
    pool = MemoryPool(automatic=True, sessions=1)
    async with live_server(pool) as running, upgraded(running) as first, upgraded(running) as second:
        await wait_until(lambda: pool.places.active == 1)
        second.write(frame(CONFIGURE) + frame(speech([3]).tobytes()) + frame(STOP))
        second.writer.write_eof()
        first.write(frame(STOP))
        assert (await read_all(first))[1] == 1000
        messages, code = await read_all(second)
        assert (finals(messages), code) == (["w3"], 1000)


async def test_garbage_behind_a_stop_does_not_cost_the_final() -> None:
    async with live_server() as running, upgraded(running) as client:
        client.write(frame(CONFIGURE) + frame(speech([1, 2]).tobytes()) + frame(STOP))
        head = await client.reader.readexactly(1)
        assert head == b"\x81"
        [connection] = running.server.server_state.connections
        await wait_until(lambda: cast(WebSocketConnection, connection).close_sent)
        for _ in range(20):
            client.write(b"GET / HTTP/1.1\r\n\r\n")
            await asyncio.sleep(0)
        rest = await client.reader.read()
        assert rest.endswith(b"\x88\x02\x03\xe8")
        assert b"w1 w2" in rest


@pytest.mark.parametrize("reset", [False, True])
async def test_a_client_that_vanishes_frees_its_place_though_its_session_has_not_ended(reset: bool) -> None:
    pool = MemoryPool()  # its workers do nothing: no final comes
    async with live_server(pool, deadlines=IMPATIENT) as running:
        async with upgraded(running) as client:
            client.write(frame(CONFIGURE) + frame(speech([1]).tobytes()))
            await wait_until(lambda: any(worker.sent for worker in pool.workers))
            client.write(frame(STOP))
            if reset:
                client.writer.transport.abort()
        await session_is_over(running)
        assert pool.places.active == 0


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (frame(b"\xff\xfe", Opcode.TEXT), 1007),
        (frame(b"x" * 9_001), 1009),
        (b"\x83\x80\0\0\0\0", 1002),
        (frame(b"\x03\xe8\xff", Opcode.CLOSE), 1007),
        (frame(b"", fin=False) + frame(b"\x03\xe8", Opcode.CLOSE), 1002),
        (frame(b"", fin=False) + frame(b"", Opcode.CONT, fin=False) * 1_025, 1008),
        (frame("") * 600, 1008),
        (frame(b"") * 1_900, 1008),
        (frame(b"", Opcode.PING) * 4_000, 1008),
    ],
    # of what time forgives there is more than enough: a busy machine takes its time
    ids=["utf8", "too long", "opcode", "close reason", "close amid fragments", "fragments", "texts", "empty", "pings"],
)
async def test_who_breaks_a_rule_gets_the_last_final_before_the_close(
    broken: bytes, expected: int, caplog: pytest.LogCaptureFixture
) -> None:
    limits = Limits(ws_frame_max_bytes=9_000)
    async with live_server(limits=limits) as running, upgraded(running) as client:
        client.write(frame(CONFIGURE) + frame(speech([1, 2]).tobytes()))
        client.write(broken + frame(b"ping", Opcode.PING) * 3)
        messages, code = await read_all(client)
        assert (finals(messages), code) == (["w1 w2"], expected)
        await session_is_over(running)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


# -- clients that do not read


async def test_a_client_that_sends_audio_and_never_reads_is_gone_in_time() -> None:
    async with live_server(deadlines=IMPATIENT) as running, upgraded(running) as client:
        client.write(frame(CONFIGURE))
        tasks = running.server.server_state.tasks
        async with asyncio.timeout(10):
            while tasks:
                with contextlib.suppress(OSError):
                    client.write(frame(speech([0]).tobytes()))
                await asyncio.wait(list(tasks), timeout=0.02)
        await session_is_over(running)


async def test_a_client_that_sends_audio_and_answers_pings_stays() -> None:
    async with live_server(deadlines=IMPATIENT) as running, upgraded(running) as client:
        client.write(frame(CONFIGURE))
        reading = asyncio.create_task(read_all(client, answering=True))
        for _ in range(40):
            client.write(frame(speech([0]).tobytes()))
            await asyncio.wait({reading}, timeout=0.02)
        assert not reading.done()
        client.write(frame(STOP))
        assert (await reading)[1] == 1000


# -- one for all


async def test_tiny_frames_are_slowed_and_none_is_lost() -> None:
    audio = speech([1, 2, 3, 4]).tobytes()
    async with live_server() as running, upgraded(running) as client:
        client.write(frame(CONFIGURE) + b"".join(frame(audio[at : at + 2]) for at in range(0, len(audio), 2)))
        client.write(frame(STOP))
        messages, code = await read_all(client)
        assert (finals(messages), code) == (["w1 w2 w3 w4"], 1000)


@pytest.mark.parametrize(
    ("seconds", "size", "pace"), [(0.02, 640, 16), (0.02, 160, 16), (0.01, 80, 1), (0.0027, 85, 1)]
)
def test_honest_frames_never_wait_for_their_rate(seconds: float, size: int, pace: float) -> None:
    allowance = Allowance()
    for index in range(20_000):
        now = 1_000.0 + index * seconds / pace
        assert allowance.take(Frame(Opcode.BINARY, bytes(size)), now)
        assert allowance.wait_until <= now


# -- the end


@pytest.mark.parametrize("end", ["stop", "drop", "broken", "half-closed"])
async def test_a_connection_that_has_ended_is_freed_at_once(end: str) -> None:
    async with live_server() as running:
        gc.collect()
        gc.disable()
        try:
            held: list[weakref.ref[Any]] = []
            await _live_and_end(running, end, held)
            assert len(held) >= 4
            await wait_until(lambda: not [each for each in held if each() is not None])
        finally:
            gc.enable()


async def _live_and_end(running: Running, end: str, held: list[weakref.ref[Any]]) -> None:
    async with upgraded(running) as client:
        client.write(frame(CONFIGURE) + frame(speech([1, 2]).tobytes()))
        await wait_until(lambda: _of_type(Session))
        for kind in (WebSocketConnection, Shell, Session):
            held.extend(weakref.ref(each) for each in _of_type(kind))
        held.extend(weakref.ref(task) for task in running.server.server_state.tasks)
        match end:
            case "stop":
                client.write(frame(STOP))
            case "drop":
                client.writer.transport.abort()
            case "broken":
                client.write(b"\x83\x80\0\0\0\0")
            case "half-closed":
                client.writer.write_eof()
        await read_all(client)


def _of_type(kind: type) -> list[Any]:
    return [each for each in gc.get_objects() if type(each) is kind]


async def test_a_refused_websocket_logs_its_refusal_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with live_server() as running:
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(f"{running.ws}/v1/ws", origin=websockets.Origin("http://evil.example"))
        await session_is_over(running)
        lines = [record for record in caplog.records if record.name.startswith(("gigastt", "uvicorn"))]
        lines = [
            record for record in lines if "open" not in record.getMessage() and "listening" not in record.getMessage()
        ]
        assert [record.getMessage() for record in lines] == ["origin_denied", "request"]


async def test_a_server_keeps_little_for_a_client_that_sends_ahead() -> None:
    """The system's buffer for what a client has sent is bounded, so its pongs do not wait behind megabytes."""
    async with live_server(MemoryPool()) as running, upgraded(running) as client:
        client.write(frame(CONFIGURE))
        [connection] = running.server.server_state.connections
        accepted: socket.socket = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 512 * 1024
