"""Calls of Asterisk's AudioSocket: packets of any cut, text that others follow, over workers in memory."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import struct
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.config import Limits
from gigastt.gateway.api.audiosocket import AudioSocketFraming
from gigastt.gateway.api.tcp import BrokenStream
from gigastt.gateway.app import create_audiosocket
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.native import memory_context
from tests.fakes.pool import Fakes
from tests.fakes.scripted import speech
from tests.gateway.api.calls import CallServer, call_server
from tests.raw_client import RawClient
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

CALL = uuid.UUID("40325ec2-5efd-4bd3-805f-53576e581d13")
SLIN16 = 0x12
HANG_UP = b"\0\0\0"


def packet(kind: int, payload: bytes = b"") -> bytes:
    return bytes([kind]) + len(payload).to_bytes(2) + payload


def hello(call: uuid.UUID = CALL) -> bytes:
    return packet(0x01, call.bytes)


def sound(*values: int, kind: int = SLIN16, size: int = 640) -> bytes:
    """Return speech in packets of 20 ms."""
    samples = speech(values).tobytes()
    return b"".join(packet(kind, samples[begin : begin + size]) for begin in range(0, len(samples), size))


@asynccontextmanager
async def calls(pool: MemoryPool | None = None, limits: Limits | None = None) -> AsyncIterator[CallServer]:
    context = memory_context(pool or MemoryPool(automatic=True), limits)
    async with call_server(context, create_audiosocket) as running:
        yield running


def words(events: list[dict[str, Any]]) -> str:
    return " ".join(event["text"] for event in events if event["type"] == "final" and event["text"])


async def until_hung_up(client: RawClient) -> bytes:
    async with asyncio.timeout(60):
        return await client.reader.read()


@pytest.mark.parametrize("size", [1, 2, 3, 19, 643, 1_000_000])
def test_packets_are_the_same_however_they_are_cut(size: int) -> None:
    stream = hello() + sound(1) + packet(0x03, b"5") + sound(2) + packet(0x12) + packet(0x10, b"\1\0") + HANG_UP
    framing = AudioSocketFraming()
    messages = [each for at in range(0, len(stream), size) for each in framing.cut(stream[at : at + size])]
    joined: list[str | bytes] = []
    for message in messages:
        if isinstance(message, bytes) and joined and isinstance(joined[-1], bytes):
            joined[-1] += message
        else:
            joined.append(message)
    one, two = speech((1,)).tobytes(), speech((2,)).tobytes()
    assert joined == [f"01{CALL.hex}", "12", one, "0335", two, "10", b"\1\0", "00"]


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_any_bytes_are_packets_or_a_broken_stream(pieces: list[bytes]) -> None:
    framing = AudioSocketFraming()
    try:
        for piece in pieces:
            for message in framing.cut(piece):
                assert isinstance(message, bytes) or bytes.fromhex(message)
    except BrokenStream:
        pass


async def test_a_call_is_told_to_those_who_follow_it() -> None:
    async with calls() as server:
        before = asyncio.create_task(server.events(str(CALL)))
        await wait_until(lambda: len(server.context.feeds) == 1)
        async with server.connect() as client:
            client.write(hello() + sound(1, 2))
            await client.writer.drain()
            during = asyncio.create_task(server.events(str(CALL).upper()))
            client.write(packet(0x03, b"5") + sound(3) + HANG_UP)
            assert await until_hung_up(client) == HANG_UP
        for events in (await before, await during, await server.events(str(CALL))):
            assert words(events) == "w1 w2 w3"
            assert events[0]["type"] == "ready"
            assert "resume_token" not in events[0]
            assert [event["digit"] for event in events if event["type"] == "dtmf"] == ["5"]
            assert [event["last"] for event in events] == [False] * (len(events) - 1) + [True]
            assert (events[-1]["type"], events[-1]["close_code"]) == ("end", 1000)


async def test_a_follower_that_was_cut_off_goes_on_behind_what_it_had() -> None:
    async with calls() as server:
        async with server.connect() as client:
            client.write(hello() + sound(1) + HANG_UP)
            await until_hung_up(client)
        events = await server.events(str(CALL))
        rest = await server.events(str(CALL), **{"Last-Event-ID": str(events[-2]["id"])})
        assert rest == events[-1:]


async def test_a_caller_who_vanishes_leaves_his_words() -> None:
    async with calls() as server:
        async with server.connect() as client:
            client.write(hello() + sound(1, 2))
            await client.writer.drain()
            await wait_until(lambda: server.context.pool.metrics.accepted_samples >= len(speech((1, 2))))
            reset = struct.pack("ii", 1, 0)  # no lingering
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            client.writer.transport.abort()
        events = await server.events(str(CALL))
        assert words(events) == "w1 w2"
        assert events[-1]["close_code"] == 1000


@pytest.mark.parametrize(("kind", "rate"), [(0x10, 8_000), (0x13, 24_000), (0x16, 48_000)])
async def test_the_kind_of_a_packet_tells_its_rate(kind: int, rate: int) -> None:
    second = bytes(2 * rate)
    async with calls() as server:
        async with server.connect() as client:
            client.write(hello() + packet(kind, second[:60_000]) + packet(kind, second[60_000:]) + HANG_UP)
            await until_hung_up(client)
        final = (await server.events(str(CALL)))[-2]
    assert final["type"] == "final"
    assert server.context.pool.metrics.accepted_samples == pytest.approx(16_000, abs=40)


async def test_a_caller_who_hangs_up_without_a_word_is_hung_up_on() -> None:
    async with calls() as server, server.connect() as client:
        client.write(hello() + packet(0x03, b"5") + HANG_UP)
        assert await until_hung_up(client) == HANG_UP


async def test_a_rate_that_changes_in_a_call_ends_it_with_its_words() -> None:
    async with calls() as server:
        async with server.connect() as client:
            client.write(hello() + sound(1) + sound(2, kind=0x10))
            assert await until_hung_up(client) == HANG_UP
        events = await server.events(str(CALL))
    assert words(events) == "w1"
    assert [event["code"] for event in events if event["type"] == "error"] == ["invalid_sample_rate"]
    assert events[-1]["close_code"] == 1003


@pytest.mark.parametrize("first", [sound(1), HANG_UP, packet(0x01, b"short"), b"GET / HTTP/1.1\r\n\r\n"])
async def test_a_connection_that_names_no_call_is_closed(first: bytes) -> None:
    async with calls() as server, server.connect() as client:
        client.write(first)
        assert await client.closed()
        assert len(server.context.feeds) == 0


async def test_a_second_call_of_the_same_name_is_closed_and_the_first_goes_on() -> None:
    async with calls() as server, server.connect() as first:
        first.write(hello() + sound(1))
        await wait_until(lambda: len(server.context.feeds) == 1)
        async with server.connect() as second:
            second.write(hello() + sound(2))
            assert await second.closed()
        first.write(HANG_UP)
        await until_hung_up(first)
        assert words(await server.events(str(CALL))) == "w1"


async def test_a_server_that_stops_tells_the_words_so_far() -> None:
    async with calls() as server, server.connect() as client:
        following = asyncio.create_task(server.events(str(CALL)))
        client.write(hello() + sound(1))
        await wait_until(lambda: server.context.pool.metrics.accepted_samples >= len(speech((1,))))
        server.tcp.server.handle_exit(signal.SIGTERM, None)
        assert await until_hung_up(client) == HANG_UP
        events = await following
        assert words(events) == "w1"
        assert events[-1]["close_code"] == 1001


async def test_a_server_that_stops_keeps_nobody_waiting_for_calls() -> None:
    async with calls() as server:
        following = asyncio.create_task(server.events("a-call-to-come"))
        await wait_until(lambda: len(server.context.feeds) == 1)
        server.http.server.handle_exit(signal.SIGTERM, None)
        [event] = await following
        assert (event["code"], event["last"]) == ("shutting_down", True)
        await wait_until(lambda: len(server.context.feeds) == 0)


async def test_a_call_without_a_place_ends_with_the_reason() -> None:
    limits = Limits(pool_checkout_timeout_secs=0.05)
    async with calls(MemoryPool(automatic=True, sessions=0), limits) as server, server.connect() as client:
        client.write(hello() + sound(1))
        assert await until_hung_up(client) == HANG_UP
        events = await server.events(str(CALL))
        assert [event["code"] for event in events if event["type"] == "error"] == ["timeout"]


async def test_events_need_a_key_where_one_is_asked(tmp_path: Any) -> None:
    (tmp_path / "keys").write_text("secret-key-1\n")
    context = Fakes().context(api_keys_file=tmp_path / "keys")
    async with (
        call_server(context, create_audiosocket) as server,
        httpx.AsyncClient(base_url=server.http.http) as client,
    ):
        assert (await client.get(f"/v1/sessions/{CALL}/events")).status_code == 401
        assert len(context.feeds) == 0


async def test_an_id_that_no_call_can_have_is_refused() -> None:
    async with calls() as server, httpx.AsyncClient(base_url=server.http.http) as client:
        answer = await client.get("/v1/sessions/a%20b/events")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")


async def test_broken_packets_end_their_call_and_disturb_no_other() -> None:
    chance = random.Random(7)
    async with calls() as server, server.connect() as steady:
        steady.write(hello() + sound(1))
        for _ in range(60):
            async with server.connect() as client:
                good = hello(uuid.uuid4()) + sound(2)
                client.write(good[: chance.randrange(60)] + chance.randbytes(chance.randrange(1, 4000)))
                client.writer.write_eof()
                assert await client.closed()
        steady.write(sound(3) + HANG_UP)
        await until_hung_up(steady)
        assert words(await server.events(str(CALL))) == "w1 w3"


async def test_followers_that_leave_are_forgotten() -> None:
    async with calls() as server:
        for number in range(3):
            task = asyncio.create_task(server.events(f"call-{number}"))
            await wait_until(lambda: len(server.context.feeds) == 1)
            task.cancel()
            await wait_until(lambda: len(server.context.feeds) == 0)


async def test_those_who_wait_for_a_call_hear_of_a_rate_that_refuses_it() -> None:
    async with calls(limits=Limits(rate_limit_per_minute=1, rate_limit_burst=2)) as running:
        following = asyncio.create_task(running.events(str(CALL)))
        await wait_until(lambda: running.context.feeds.is_awaited(str(CALL)))
        async with running.connect() as first, running.connect() as second:
            first.write(packet(0x00))
            await until_hung_up(first)
            second.write(hello())
            assert await until_hung_up(second) == b""
        told = await following
    assert [(event["type"], event.get("code")) for event in told] == [("error", "rate_limited"), ("end", None)]
