"""Uploads of several clients: each has its share of memory, of turns to be decoded and of places."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from gigastt.config import Limits
from gigastt.gateway.app import create_app
from gigastt.gateway.context import AppContext
from tests.fakes.gateway import LOCAL, http_client
from tests.fakes.pool import Fakes, FakeTranscriber
from tests.fakes.uploads import PATH, assert_given_back, forever, memory_files, post
from tests.waiting import wait_until


@asynccontextmanager
async def clients(context: AppContext, count: int) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Several clients of one application, each with an address of its own."""
    app = create_app(context)
    async with AsyncExitStack() as stack:
        transports = [httpx.ASGITransport(app, client=(f"10.0.0.{number}", 5000)) for number in range(count)]
        yield [
            await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url=LOCAL))
            for transport in transports
        ]


async def test_bodies_are_bounded_for_each_client_and_in_all() -> None:
    gate = asyncio.Event()

    async def slow(size: int) -> AsyncIterator[bytes]:
        yield b"x" * size
        await gate.wait()

    context = Fakes().context(Limits(body_limit_bytes=100_000), host="0.0.0.0")
    async with clients(context, 3) as (one, two, three):
        uploads = [asyncio.create_task(client.post(PATH, content=slow(90_000))) for client in (one, one, two)]
        await wait_until(lambda: any(upload.done() for upload in uploads))
        await wait_until(lambda: memory_files() == 2)
        assert [upload.done() for upload in uploads] == [False, True, False]
        refused = await three.post(PATH, content=b"x" * 90_000)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert (await three.post(PATH, content=b"x" * 5_000)).status_code == 200
        gate.set()
        assert sorted([(await upload).status_code for upload in uploads]) == [200, 200, 503]
        assert (await three.post(PATH, content=b"x" * 90_000)).status_code == 200


async def test_an_upload_that_is_decoded_holds_no_place() -> None:
    fakes = Fakes()
    fakes.decoder.gate.clear()
    uploading = asyncio.create_task(post(fakes.context()))
    await wait_until(lambda: fakes.decoder.bodies)
    assert fakes.pool.places.active == 0
    fakes.decoder.gate.set()
    assert (await uploading).status_code == 200
    assert_given_back(fakes)


@pytest.mark.slow
async def test_a_client_with_many_files_leaves_a_decoder_to_others() -> None:
    fakes = Fakes()
    fakes.decoder.gate.clear()
    context = fakes.context(Limits(pool_checkout_timeout_secs=0.2), host="0.0.0.0")
    async with clients(context, 2) as (one, two):
        many = [asyncio.create_task(one.post(PATH, content=b"one " * 8)) for _ in range(20)]
        await wait_until(lambda: sum(upload.done() for upload in many) == 18)  # after the waiting time, not in silence
        single = asyncio.create_task(two.post(PATH, content=b"two " * 8))
        await wait_until(lambda: b"two " * 8 in fakes.decoder.bodies)
        fakes.decoder.gate.set()
        assert (await single).status_code == 200
        answers = [await upload for upload in many]
    assert sorted(answer.status_code for answer in answers) == [200] * 2 + [503] * 18
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)
    assert context.metrics.registry.get_sample_value("gigastt_pool_timeouts_total") == 18
    assert_given_back(fakes)


async def test_uploads_take_no_places_of_live_sessions_and_a_client_leaves_some_to_others() -> None:
    fakes = Fakes(transcriber=FakeTranscriber(forever))
    context = fakes.context(Limits(pool_checkout_timeout_secs=0.2), host="0.0.0.0")
    async with clients(context, 2) as (one, two):
        many = [asyncio.create_task(one.post(PATH, content=bytes(100))) for _ in range(10)]
        await wait_until(lambda: sum(upload.done() for upload in many) == 8)
        assert len(fakes.transcriber.request_ids) == 2
        others = [asyncio.create_task(two.post(PATH, content=bytes(100))) for _ in range(10)]
        await wait_until(lambda: sum(upload.done() for upload in others) == 8)
        assert len(fakes.transcriber.request_ids) == 4
        assert fakes.pool.places.active == 0
        for upload in many + others:
            upload.cancel()
        await asyncio.gather(*many, *others, return_exceptions=True)
    assert_given_back(fakes)


async def test_decoded_files_of_a_client_are_bounded_together() -> None:
    fakes = Fakes(transcriber=FakeTranscriber(forever))
    context = fakes.context(Limits(max_audio_secs=1), host="0.0.0.0")
    async with clients(context, 1) as (client,):
        uploading = asyncio.create_task(client.post(PATH, content=bytes(10_000_000)))
        await wait_until(lambda: fakes.transcriber.request_ids)
        refused = await client.post(PATH, content=bytes(10_000_000))
        assert (refused.status_code, refused.json()["code"]) == (503, "timeout")
        assert "shared memory" in refused.json()["error"]
        uploading.cancel()
        await asyncio.gather(uploading, return_exceptions=True)
    assert_given_back(fakes)


@pytest.mark.parametrize("path", [PATH, f"{PATH}/stream"])
async def test_a_drain_sends_away_uploads_that_wait_for_their_turn(path: str) -> None:
    fakes = Fakes()
    fakes.decoder.gate.clear()
    async with http_client(fakes.context()) as client:
        uploads = [asyncio.create_task(client.post(path, content=bytes(100))) for _ in range(3)]
        await wait_until(lambda: len(fakes.decoder.bodies) == 2)
        fakes.pool.begin_drain()
        await wait_until(lambda: any(upload.done() for upload in uploads))
        fakes.decoder.gate.set()
        answers = [await upload for upload in uploads]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(503, "shutting_down")}
    assert_given_back(fakes)


async def test_keys_of_one_address_are_clients_of_their_own_however_they_are_written(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("first-key\nsecond-key\n", encoding="utf-8")
    fakes = Fakes()
    fakes.decoder.gate.clear()
    context = fakes.context(Limits(pool_checkout_timeout_secs=0.2), api_keys_file=keys)
    first = ("Bearer first-key", "bearer  first-key", "BEARER first-key ", "Bearer first-key")
    async with http_client(context) as client:
        uploads = [
            asyncio.create_task(client.post(PATH, content=bytes(100), headers={"authorization": token}))
            for token in (*first, "Bearer second-key")
        ]
        await wait_until(lambda: len(fakes.decoder.bodies) == 3 and sum(upload.done() for upload in uploads) == 2)
        fakes.decoder.gate.set()
        statuses = [(await upload).status_code for upload in uploads]
    assert sorted(statuses[:4]) == [200, 200, 503, 503]
    assert statuses[4] == 200
