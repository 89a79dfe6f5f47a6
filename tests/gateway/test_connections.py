"""Caps on connections: who is counted where, what a refusal looks like, and that nothing stays counted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager

import httpx
import pytest
import websockets
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.websockets import WebSocket

from gigastt.config import Limits
from gigastt.errors import RateLimited
from gigastt.gateway.addresses import parse_address, parse_networks, rate_key
from gigastt.gateway.connections import MOST_REFUSED, Caps, Connections, Place, most_connections
from gigastt.gateway.context import AppContext
from gigastt.gateway.deadlines import Deadlines
from tests.fakes.gateway import Running, serving
from tests.fakes.pool import Fakes
from tests.waiting import wait_until

HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
MODELS = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPGRADE = (
    b"GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
QUICK = Deadlines(head=5.0, body=0.3, linger=0.2, unread=0.3, ping=5.0)


def key(address: str) -> int:
    parsed = parse_address(address)
    assert parsed is not None
    return rate_key(parsed)


def refusal(place: Place | None) -> tuple[int, str]:
    assert place is not None
    assert place.refusal is not None
    error = place.refusal()
    return error.status, error.code


def served(place: Place | None) -> bool:
    return place is not None and place.refusal is None


def test_one_address_gets_so_many_and_the_next_when_one_has_left() -> None:
    connections = Connections(Caps(per_address=2))
    first, second = connections.enter("192.0.2.1"), connections.enter("::ffff:192.0.2.1")
    assert served(first)
    assert served(second)
    assert refusal(connections.enter("192.0.2.1")) == (429, "rate_limited")
    assert served(connections.enter("192.0.2.2"))
    assert first is not None
    first.leave()
    assert served(connections.enter("192.0.2.1"))


def test_ipv6_is_counted_by_its_64() -> None:
    connections = Connections(Caps(per_address=1))
    assert served(connections.enter("2001:db8:0:1::1"))
    assert not served(connections.enter("2001:db8:0:1:ffff::2"))
    assert served(connections.enter("2001:db8:0:2::1"))


def test_zero_is_any_number() -> None:
    connections = Connections()
    assert all(served(connections.enter("192.0.2.1")) for _ in range(1000))
    assert len(connections) == 1000


def test_the_total_counts_everybody() -> None:
    connections = Connections(Caps(total=2), parse_networks(["10.0.0.0/8"]))
    assert served(connections.enter("192.0.2.1"))
    assert served(connections.enter("10.0.0.1"))
    assert refusal(connections.enter("192.0.2.2")) == (503, "timeout")
    assert refusal(connections.enter("10.0.0.1")) == (503, "timeout")


def test_only_a_few_are_told_why() -> None:
    connections = Connections(Caps(per_address=1))
    assert served(connections.enter("192.0.2.1"))
    refused = [connections.enter("192.0.2.1") for _ in range(MOST_REFUSED)]
    assert all(place is not None and place.refusal is not None for place in refused)
    assert connections.enter("192.0.2.1") is None
    assert served(connections.enter("192.0.2.2"))
    for place in refused:
        assert place is not None
        place.leave()
    assert refusal(connections.enter("192.0.2.1")) == (429, "rate_limited")


def test_a_trusted_proxy_has_any_number_and_its_clients_have_theirs() -> None:
    connections = Connections(Caps(per_address=1), parse_networks(["10.0.0.0/8"]))
    proxied = [connections.enter("10.0.0.1") for _ in range(10)]
    assert all(place is not None and place.shared and place.refusal is None for place in proxied)
    with connections.carrying(key("192.0.2.1")), connections.carrying(key("192.0.2.2")):
        with pytest.raises(RateLimited), connections.carrying(key("192.0.2.1")):
            pass
        assert connections.addresses == 2
    assert connections.addresses == 0


def test_other_caps_apply_at_once_and_close_nothing() -> None:
    connections = Connections()
    for _ in range(3):
        assert served(connections.enter("192.0.2.1"))
    connections.change(Caps(per_address=3))
    assert not served(connections.enter("192.0.2.1"))
    connections.change(Caps(per_address=4))
    assert served(connections.enter("192.0.2.1"))


class Crash(Exception):
    """What a request or a session ends with when it fails."""


PEERS = ("192.0.2.1", "192.0.2.2", "2001:db8:0:1::1", "2001:db8:0:1::2", "10.0.0.1", None)
ENTER = st.tuples(st.just("enter"), st.sampled_from(PEERS))
LEAVE = st.tuples(st.just("leave"), st.integers(0, 200))
CARRY = st.tuples(st.just("carry"), st.sampled_from(PEERS[:4]))
END = st.tuples(st.just("end"), st.integers(0, 200))
CHANGE = st.tuples(st.just("change"), st.tuples(st.integers(0, 4), st.integers(0, 8)))


@given(st.lists(st.one_of(ENTER, ENTER, LEAVE, CARRY, END, CHANGE), max_size=200))
def test_any_order_of_events_ends_at_zero(events: list[tuple[str, object]]) -> None:
    caps = Caps(2, 6)
    connections = Connections(caps, parse_networks(["10.0.0.0/8"]))
    places: list[Place] = []
    seats = 0
    carried: list[ExitStack] = []
    for event, argument in events:
        if event == "enter":
            assert argument is None or isinstance(argument, str)
            place = connections.enter(argument)
            if place is not None:
                places.append(place)
            if served(place):
                seats += 1
                assert caps.total == 0 or seats <= caps.total
        elif event == "leave" and places:
            assert isinstance(argument, int)
            place = places.pop(argument % len(places))
            seats -= place.refusal is None
            place.leave()
            place.leave()  # a connection may hear of its end twice
        elif event == "carry":
            stack = ExitStack()
            with contextlib.suppress(RateLimited):
                stack.enter_context(connections.carrying(key(str(argument))))
                carried.append(stack)
        elif event == "end" and carried:
            assert isinstance(argument, int)
            with contextlib.suppress(Crash), carried.pop(argument % len(carried)):
                raise Crash
        elif event == "change":
            assert isinstance(argument, tuple)
            caps = Caps(*argument)
            connections.change(caps)
        assert len(connections) == len(places)
        assert connections.addresses <= seats + len(carried)
    for place in places:
        place.leave()
    for stack in carried:
        stack.close()
    assert (len(connections), connections.addresses) == (0, 0)


class Client:
    """A client that writes bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> tuple[int, dict[str, str], dict[str, object]]:
        """Read one answer in JSON."""
        async with asyncio.timeout(5):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await self.reader.readexactly(int(headers["content-length"]))
            return int(status.split()[1]), headers, json.loads(body)

    async def ask(self, request: bytes) -> tuple[int, dict[str, str], dict[str, object]]:
        self.writer.write(request)
        return await self.answer()

    async def closed(self) -> bool:
        """Wait until the server has hung up; tell whether it did so without a word."""
        async with asyncio.timeout(5):
            try:
                return not await self.reader.read()
            except ConnectionError:
                return True


@asynccontextmanager
async def open_connection(running: Running) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


def limited(most: int = 1, *, total: int = 1000, trusted_proxy: tuple[str, ...] = ()) -> AppContext:
    limits = Limits(max_connections_per_address=most, max_connections=total)
    return Fakes().context(limits, trusted_proxy=trusted_proxy)


async def test_a_silent_connection_counts_and_the_next_is_told_so() -> None:
    context = limited()
    async with serving(context) as running, open_connection(running), open_connection(running) as second:
        status, headers, body = await second.ask(MODELS)
        assert (status, body["code"], body["retry_after_ms"]) == (429, "rate_limited", 1000)
        assert (headers["retry-after"], headers["connection"]) == ("1", "close")
        assert headers["x-request-id"]
        assert await second.closed()
    assert context.metrics.registry.get_sample_value("gigastt_rate_limit_rejections_total") == 1


async def test_a_connection_keeps_its_place_between_requests_and_frees_it_at_its_end() -> None:
    context = limited()
    async with serving(context) as running:
        async with open_connection(running) as first:
            assert (await first.ask(MODELS))[0] == 200
            async with open_connection(running) as second:
                assert (await second.ask(MODELS))[0] == 429
            assert (await first.ask(MODELS))[0] == 200
        await wait_until(lambda: not len(context.connections))
        async with open_connection(running) as third:
            assert (await third.ask(MODELS))[0] == 200


async def test_probes_are_answered_when_an_address_has_too_many() -> None:
    async with serving(limited()) as running, open_connection(running):
        async with open_connection(running) as probe:
            status, headers, body = await probe.ask(HEALTH)
            assert (status, headers["connection"], body["status"]) == (200, "close", "ok")
            assert await probe.closed()
        async with httpx.AsyncClient(base_url=running.http) as client:
            for path in ("/health", "/ready"):
                assert (await client.get(path)).status_code == 200


async def test_a_websocket_is_refused_before_its_upgrade_and_served_when_there_is_room() -> None:
    context = limited()
    async with serving(context) as running:
        async with websockets.connect(f"{running.ws}/v1/ws") as session:
            with pytest.raises(websockets.InvalidStatus) as refused:
                await websockets.connect(f"{running.ws}/v1/ws")
            response = refused.value.response
            assert (response.status_code, response.headers["retry-after"]) == (429, "1")
            assert json.loads(response.body or b"")["code"] == "rate_limited"
            await session.send(b"abc")
            assert json.loads(await session.recv()) == {"bytes": 3}
        await wait_until(lambda: not len(context.connections))
        async with websockets.connect(f"{running.ws}/v1/ws"):
            assert len(context.connections) == 1
    assert (len(context.connections), context.connections.addresses) == (0, 0)


async def test_a_refused_upload_can_read_why() -> None:
    async with serving(limited()) as running, open_connection(running):
        async with httpx.AsyncClient(base_url=running.http) as client:
            response = await client.post("/v1/transcribe", content=bytes(8_000_000))
        assert (response.status_code, response.json()["code"]) == (429, "rate_limited")


async def test_a_full_server_says_503_and_when_to_come_back() -> None:
    async with (
        serving(limited(0, total=2)) as running,
        open_connection(running),
        open_connection(running) as served_one,
        open_connection(running) as third,
    ):
        status, headers, body = await third.ask(MODELS)
        assert (status, body["code"], headers["retry-after"]) == (503, "timeout", "1")
        assert await third.closed()
        assert (await served_one.ask(MODELS))[0] == 200


async def test_a_refused_connection_that_says_nothing_is_told_soon() -> None:
    async with (
        serving(limited(), deadlines=QUICK) as running,
        open_connection(running),
        open_connection(running) as silent,
    ):
        status, headers, body = await silent.answer()
        assert (status, body["code"], headers["connection"]) == (429, "rate_limited", "close")
        assert await silent.closed()


async def test_a_flood_from_one_address_is_hung_up_on() -> None:
    context = limited()
    async with serving(context) as running, AsyncExitStack() as stack:
        for _ in range(1 + MOST_REFUSED):
            await stack.enter_async_context(open_connection(running))
        await wait_until(lambda: len(context.connections) == 1 + MOST_REFUSED)
        for _ in range(20):
            assert await (await stack.enter_async_context(open_connection(running))).closed()
        assert len(running.server.server_state.connections) == 1 + MOST_REFUSED
    await wait_until(lambda: not len(context.connections))


async def test_clients_of_a_trusted_proxy_are_counted_one_by_one() -> None:
    context = limited(trusted_proxy=("127.0.0.0/8",))

    async def open_session(client: str) -> websockets.ClientConnection:
        headers = {"x-forwarded-for": client}
        return await websockets.connect(f"{running.ws}/v1/ws", additional_headers=headers)

    async with serving(context) as running, httpx.AsyncClient(base_url=running.http) as http:
        session = await open_session("198.51.100.1")
        other = await open_session("198.51.100.2")
        with pytest.raises(websockets.InvalidStatus) as refused:
            await open_session("6.6.6.6, 198.51.100.1")
        assert refused.value.response.status_code == 429
        asked = {"x-forwarded-for": "198.51.100.1"}
        assert (await http.get("/v1/models", headers=asked)).status_code == 429
        assert (await http.get("/ready", headers=asked)).status_code == 200
        await session.close()
        await wait_until(lambda: context.connections.addresses == 1)
        assert (await http.get("/v1/models", headers=asked)).status_code == 200
        await other.close()
        await wait_until(lambda: not context.connections.addresses)


async def test_a_session_that_crashes_frees_its_place() -> None:
    async def crash(websocket: WebSocket, context: AppContext) -> None:
        await websocket.accept()
        assert context.connections.addresses == 1
        raise Crash

    limits = Limits(max_connections_per_address=1)
    context = Fakes(live=crash).context(limits, trusted_proxy=("127.0.0.0/8",))
    async with serving(context) as running:
        for _ in range(3):
            async with websockets.connect(f"{running.ws}/v1/ws") as session:
                await session.wait_closed()
                assert session.close_code == 1011
            await wait_until(lambda: not len(context.connections) and not context.connections.addresses)


def test_the_total_leaves_descriptors_to_the_server_itself() -> None:
    assert most_connections(16_384, descriptors=1_048_576) == 16_384
    assert most_connections(16_384, descriptors=1024) == 768
    assert most_connections(100, descriptors=1024) == 100
    assert most_connections(100, descriptors=resource.RLIM_INFINITY) == 100


OPENINGS = (
    b"",
    b"GE",
    MODELS,
    MODELS * 3,
    UPGRADE,
    UPGRADE + b"\x82\x83\0\0\0\0abc",
    UPGRADE + b"\xff\xff",
    b"\0\0\r\n\r\n",
)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(OPENINGS), st.sampled_from(["wait", "close", "abort"])), max_size=15))
def test_whatever_clients_do_nothing_stays_counted(clients: list[tuple[bytes, str]]) -> None:
    async def run() -> None:
        context = limited(3, total=5)
        async with serving(context, deadlines=QUICK) as running:
            async with AsyncExitStack() as stack:
                for opening, then in clients:
                    client = await stack.enter_async_context(open_connection(running))
                    client.writer.write(opening)
                    if then == "abort":
                        client.writer.transport.abort()
                    elif then == "close":
                        client.writer.close()
            await wait_until(lambda: not len(context.connections) and not context.connections.addresses)
            assert not running.server.server_state.connections

    asyncio.run(run())
