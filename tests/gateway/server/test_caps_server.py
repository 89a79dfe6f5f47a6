"""Caps on connections through a real server: silent ones, refusals, floods, proxies, crashes, and nobody left over."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

import httpx
import pytest
import websockets
from hypothesis import given
from hypothesis import strategies as st
from starlette.websockets import WebSocket

from gigastt.config import Limits
from gigastt.gateway.context import AppContext
from gigastt.gateway.server.caps import MOST_REFUSED
from gigastt.gateway.server.deadlines import Deadlines
from tests.fakes.gateway import serving
from tests.fakes.pool import Fakes
from tests.properties import tries
from tests.raw_client import connect_raw
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
MODELS = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPGRADE = (
    b"GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
QUICK = Deadlines(head=5.0, body=0.3, linger=0.2, unread=0.3, ping=5.0)


def limited(most: int = 1, *, total: int = 1000, trusted_proxy: tuple[str, ...] = ()) -> AppContext:
    limits = Limits(max_connections_per_address=most, max_connections=total)
    return Fakes().context(limits, trusted_proxy=trusted_proxy)


async def test_a_silent_connection_counts_and_the_next_is_told_so() -> None:
    context = limited()
    async with serving(context) as running, connect_raw(running), connect_raw(running) as second:
        status, headers, body = await second.ask(MODELS)
        assert (status, body["code"], body["retry_after_ms"]) == (429, "rate_limited", 1000)
        assert (headers["retry-after"], headers["connection"]) == ("1", "close")
        assert headers["x-request-id"]
        assert await second.closed_silently()
    assert context.metrics.registry.get_sample_value("gigastt_rate_limit_rejections_total") == 1


async def test_a_connection_keeps_its_place_between_requests_and_frees_it_at_its_end() -> None:
    context = limited()
    async with serving(context) as running:
        async with connect_raw(running) as first:
            assert (await first.ask(MODELS))[0] == 200
            async with connect_raw(running) as second:
                assert (await second.ask(MODELS))[0] == 429
            assert (await first.ask(MODELS))[0] == 200
        await wait_until(lambda: not len(context.connections))
        async with connect_raw(running) as third:
            assert (await third.ask(MODELS))[0] == 200


async def test_probes_are_answered_when_an_address_has_too_many() -> None:
    async with serving(limited()) as running, connect_raw(running):
        async with connect_raw(running) as probe:
            status, headers, body = await probe.ask(HEALTH)
            assert (status, headers["connection"], body["status"]) == (200, "close", "ok")
            assert await probe.closed_silently()
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
    async with serving(limited()) as running, connect_raw(running):
        async with httpx.AsyncClient(base_url=running.http) as client:
            response = await client.post("/v1/transcribe", content=bytes(8_000_000))
        assert (response.status_code, response.json()["code"]) == (429, "rate_limited")


async def test_a_full_server_says_503_and_when_to_come_back() -> None:
    async with (
        serving(limited(0, total=2)) as running,
        connect_raw(running),
        connect_raw(running) as served_one,
        connect_raw(running) as third,
    ):
        status, headers, body = await third.ask(MODELS)
        assert (status, body["code"], headers["retry-after"]) == (503, "timeout", "1")
        assert await third.closed_silently()
        assert (await served_one.ask(MODELS))[0] == 200


async def test_a_refused_connection_that_says_nothing_is_told_soon() -> None:
    async with (
        serving(limited(), deadlines=QUICK) as running,
        connect_raw(running),
        connect_raw(running) as silent,
    ):
        status, headers, body = await silent.answer_in_json()
        assert (status, body["code"], headers["connection"]) == (429, "rate_limited", "close")
        assert await silent.closed_silently()


async def test_a_flood_from_one_address_is_hung_up_on() -> None:
    context = limited()
    async with serving(context) as running, AsyncExitStack() as stack:
        for _ in range(1 + MOST_REFUSED):
            await stack.enter_async_context(connect_raw(running))
        await wait_until(lambda: len(context.connections) == 1 + MOST_REFUSED)
        for _ in range(20):
            assert await (await stack.enter_async_context(connect_raw(running))).closed_silently()
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
        raise LookupError

    limits = Limits(max_connections_per_address=1)
    context = Fakes().context(limits, trusted_proxy=("127.0.0.0/8",))
    async with serving(context, native=crash) as running:
        for _ in range(3):
            async with websockets.connect(f"{running.ws}/v1/ws") as session:
                await session.wait_closed()
                assert session.close_code == 1011
            await wait_until(lambda: not len(context.connections) and not context.connections.addresses)


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


@tries(15)
@given(st.lists(st.tuples(st.sampled_from(OPENINGS), st.sampled_from(["wait", "close", "abort"])), max_size=15))
def test_whatever_clients_do_nothing_stays_counted(clients: list[tuple[bytes, str]]) -> None:
    async def run() -> None:
        context = limited(3, total=5)
        async with serving(context, deadlines=QUICK) as running:
            async with AsyncExitStack() as stack:
                for opening, then in clients:
                    client = await stack.enter_async_context(connect_raw(running))
                    client.writer.write(opening)
                    if then == "abort":
                        client.writer.transport.abort()
                    elif then == "close":
                        client.writer.close()
            await wait_until(lambda: not len(context.connections) and not context.connections.addresses)
            assert not running.server.server_state.connections

    asyncio.run(run())
