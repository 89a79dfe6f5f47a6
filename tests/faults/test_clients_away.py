"""What happens while a client that has lost its connection is away, over real sockets and workers in memory."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from gigastt.config import Limits
from gigastt.gateway.pool.sources import CREDIT_SAMPLES
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.native import Client, client, server
from tests.fakes.scripted import BLOCK, speech
from tests.gateway.api.test_resumption import begin, begin_and_lose, come_back, cut, newest_token, sharing, texts
from tests.waiting import wait_until

LOST = "gigastt_audio_samples_lost_total"


async def test_workers_that_die_meanwhile_cost_nothing() -> None:
    pool = MemoryPool(automatic=True)
    async with server(pool) as running:
        first = await begin_and_lose(running)
        for _ in range(6):
            pool.kill(pool.workers[0])
        second = await come_back(running, newest_token(first))
        ack = await second.receive("ack")
        pool.kill(pool.workers[0])
        await second.socket.send(speech([1, 2, 0, 3, 4, 0])[ack["received"] :].tobytes())
        assert await second.stop() == 1000
    assert texts(first, second)[:2] == [(0, "w1 w2"), (1, "w3 w4")]
    assert pool.metrics.registry.get_sample_value(LOST) == 0


async def test_a_server_that_stops_meanwhile_is_followed_by_another(secret: Path) -> None:
    async with sharing(secret) as other:
        async with sharing(secret) as one:
            first = await begin_and_lose(one)
            one.server.handle_exit(15, None)
            await asyncio.wait_for(asyncio.shield(one.task), 10)  # nobody is waited for
        second = await come_back(other, newest_token(first))
        ack = await second.receive("ack")
        await second.socket.send(speech([1, 2, 0, 3, 4])[ack["received"] :].tobytes())
        assert await second.stop() == 1000
    assert texts(first, second) == [(0, "w1 w2"), (1, "w3 w4")]


async def test_what_is_kept_of_a_session_without_its_client_is_bounded() -> None:
    pool = MemoryPool()  # whose workers do nothing: all audio waits
    async with server(pool) as running:
        first = await begin(running)

        async def send() -> None:
            for _ in range(300):
                await first.socket.send(bytes(3_200))

        sending = asyncio.ensure_future(send())
        await wait_until(lambda: pool.metrics.accepted_samples >= CREDIT_SAMPLES - BLOCK)
        await cut(first)
        await asyncio.gather(sending, return_exceptions=True)
        second = await come_back(running, newest_token(first))
        ack = await second.receive("ack")
        assert ack["received"] <= CREDIT_SAMPLES + 1_600  # and the frame that waits
        assert pool.metrics.accepted_samples <= CREDIT_SAMPLES


async def test_a_place_is_given_to_a_client_with_fewer_that_waits() -> None:
    pool = MemoryPool(automatic=True, sessions=1)
    keys = Limits(pool_checkout_timeout_secs=0.4)  # half of which is silence enough
    async with server(pool, keys) as running:
        first = await begin(running)
        await first.speak(1)
        await first.receive("ack")
        await cut(first)
        async with client(running) as waiting:  # of the same address: as many places as it would get
            assert (await waiting.receive("error"))["code"] == "timeout"
        second = await come_back(running, newest_token(first))
        await second.receive("ack")
        assert await second.stop() == 1000


async def test_two_connections_that_ask_for_one_session_take_turns() -> None:
    async with server(MemoryPool(automatic=True)) as running:
        first = await begin(running)
        await first.speak(1)
        await first.receive("ack")
        await cut(first)
        known = newest_token(first)
        rivals: list[Client] = []
        for _ in range(3):
            rival = await come_back(running, known)
            await rival.receive("ack")
            rivals.append(rival)
        for rival in rivals[:-1]:
            assert await rival.read_to_close() == 1012
        await rivals[-1].speak(2)
        assert await rivals[-1].stop() == 1000
    assert texts(rivals[-1]) == [(0, "w1 w2")]


async def test_a_client_that_lacks_audio_is_not_joined_over_the_gap() -> None:
    async with server(MemoryPool(automatic=True)) as running:
        first = await begin(running)
        await first.speak(1)
        await first.receive("ack")
        await cut(first)
        known = {**newest_token(first), "from": 100 * BLOCK}
        second = await come_back(running, known)
        assert (await second.receive("error"))["code"] == "resume_failed"
        await second.socket.send(json.dumps({"type": "stop"}))
