"""A place before the upgrade, where it is asked for: then a full server says 503, and a proxy can ask another."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gigastt.config import Limits
from gigastt.gateway.api.entrance import seconds_to_wait
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.native import Client, server
from tests.gateway.api.test_resumption import begin_and_lose, newest_token, texts
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        (["respond-async"], None),
        (["wait=0"], 0.0),
        (["respond-async, wait=10"], 10.0),
        (["return=minimal; foo", "WAIT = 2"], 2.0),
        (['wait="3"'], 3.0),
        (["await=4"], None),
        (["wait=-1"], None),
        (["wait=999999"], None),
    ],
)
def test_preferences(headers: list[str], seconds: float | None) -> None:
    assert seconds_to_wait(headers) == seconds


async def test_a_full_server_refuses_the_upgrade_of_those_who_do_not_wait() -> None:
    pool = MemoryPool(sessions=1, automatic=True)
    async with server(pool) as running, pool.places.admit(0):
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{running.ws}/v1/ws", additional_headers={"prefer": "wait=0"})
        answer = refused.value.response
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert json.loads(answer.body or b"")["code"] == "timeout"
        async with connect(f"{running.ws}/v1/ws") as patient:  # waits behind the upgrade
            assert patient.response is not None
            assert patient.response.status_code == 101


async def test_who_waits_before_the_upgrade_gets_the_next_place_and_gives_it_back() -> None:
    pool = MemoryPool(sessions=1, automatic=True)
    async with AsyncExitStack() as taken, server(pool) as running:
        await taken.enter_async_context(pool.places.admit(0))
        connecting = asyncio.ensure_future(
            connect(f"{running.ws}/v1/ws", additional_headers={"prefer": "wait=30"}).__aenter__()
        )
        await wait_until(lambda: pool.places.waiters == 1)
        assert not connecting.done()
        await taken.aclose()
        socket = await connecting
        client = Client(socket)
        await client.receive("ready")
        assert pool.places.available == 0
        await client.configure(sample_rate=16_000)
        await client.speak(1, 2, 3)
        assert await client.stop() == 1000
        await wait_until(lambda: pool.places.available == 1)


async def test_who_names_a_session_of_this_server_comes_back_to_it_though_it_is_full() -> None:
    async with server(MemoryPool(sessions=1, automatic=True)) as running:
        first = await begin_and_lose(running)
        known, impatient = newest_token(first), {"prefer": "wait=0"}
        session_id = first.of("ready")[0]["session_id"]
        assert {ack["session_id"] for ack in first.of("ack") if "resume_token" in ack} == {session_id}
        for query in ("", "?session=", f"?session={'0' * 32}"):
            with pytest.raises(InvalidStatus):
                await connect(f"{running.ws}/v1/ws{query}", additional_headers=impatient)
        async with connect(f"{running.ws}/v1/ws?session={session_id}", additional_headers=impatient) as socket:
            await socket.send(json.dumps({"type": "resume", **known}))
            again = Client(socket)
            ack = await again.receive("ack")
            assert ack["received"] > known["from"]
            assert await again.stop() == 1000
        assert [seq for seq, _ in texts(first, again)] == [0, 1]


async def test_nobody_waits_before_the_upgrade_for_longer_than_for_any_place() -> None:
    pool = MemoryPool(sessions=1, automatic=True)
    async with server(pool, Limits(pool_checkout_timeout_secs=0.05)) as running, pool.places.admit(0):
        with pytest.raises(InvalidStatus):
            await connect(f"{running.ws}/v1/ws", additional_headers={"prefer": "wait=600"})


async def test_a_server_that_drains_refuses_the_upgrade() -> None:
    pool = MemoryPool(sessions=1, automatic=True)
    async with server(pool) as running:
        pool.begin_drain()
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{running.ws}/v1/ws", additional_headers={"prefer": "wait=0"})
        assert json.loads(refused.value.response.body or b"")["code"] == "shutting_down"
