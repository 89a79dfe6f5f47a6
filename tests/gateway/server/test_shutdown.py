"""Requests that are still running when the server stops: each is told so, in its own form, once."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import websockets
from starlette.websockets import WebSocket

from gigastt.config import Limits
from gigastt.gateway.context import AppContext
from gigastt.gateway.pool.events import Event
from tests.fakes.gateway import Running, serving
from tests.fakes.pool import Fakes, FakeTranscriber, final
from tests.raw_client import connect_raw
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


async def forever() -> AsyncGenerator[Event, None]:
    yield final("Раз.")
    await asyncio.Event().wait()


@asynccontextmanager
async def stopping(fakes: Fakes, caplog: pytest.LogCaptureFixture) -> AsyncIterator[tuple[Running, httpx.AsyncClient]]:
    """Serve, and see that the end leaves neither a traceback nor anything taken."""
    async with (
        serving(fakes.context(Limits(shutdown_drain_secs=0.1))) as running,
        httpx.AsyncClient(base_url=running.http, timeout=20) as client,
    ):
        yield running, client
        await asyncio.wait_for(asyncio.shield(running.task), 10)
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]
    assert fakes.pool.places.active == 0
    assert all(file.freed for file in fakes.decoder.segments)


def end(running: Running, way: str) -> None:
    if way == "stop":  # as when the model cannot be fetched
        running.server.stop()
    elif way == "force":
        running.server.stop(force=True)
    else:
        running.server.handle_exit(signal.SIGTERM, None)


WAYS = ["signal", "stop", "force"]


@pytest.mark.parametrize("way", WAYS)
async def test_an_upload_that_runs_is_answered_in_json(way: str, caplog: pytest.LogCaptureFixture) -> None:
    fakes = Fakes(transcriber=FakeTranscriber(forever))
    async with stopping(fakes, caplog) as (running, client):
        answer = asyncio.create_task(client.post("/v1/transcribe", content=b"abcd"))
        await wait_until(lambda: fakes.transcriber.request_ids)
        end(running, way)
        response = await answer
        assert (response.status_code, response.json()["code"]) == (503, "shutting_down")
        assert (response.headers["content-type"], response.headers["retry-after"]) == ("application/json", "5")
        assert response.headers["x-request-id"]


@pytest.mark.parametrize("way", WAYS)
async def test_an_upload_that_waits_for_a_place_is_answered_too(way: str, caplog: pytest.LogCaptureFixture) -> None:
    fakes = Fakes()
    async with stopping(fakes, caplog) as (running, client), fakes.pool.full_of_uploads():
        answer = asyncio.create_task(client.post("/v1/transcribe", content=b"abcd"))
        await wait_until(lambda: running.server.server_state.tasks)
        end(running, way)
        response = await answer
        assert (response.status_code, response.json()["code"]) == (503, "shutting_down")


@pytest.mark.parametrize("way", WAYS)
async def test_an_upload_that_is_being_sent_is_answered_too(way: str, caplog: pytest.LogCaptureFixture) -> None:
    async with stopping(Fakes(), caplog) as (running, _), connect_raw(running) as client:
        client.write("POST /v1/transcribe HTTP/1.1\r\nHost: localhost\r\nContent-Length: 400\r\n\r\nabcd")
        await wait_until(lambda: running.server.server_state.tasks)
        end(running, way)
        status, _, body = await client.answer_in_json()
        assert (status, body["code"]) == (503, "shutting_down")
        assert await client.closed()


@pytest.mark.parametrize("way", WAYS)
async def test_a_stream_ends_with_one_terminal_event(way: str, caplog: pytest.LogCaptureFixture) -> None:
    fakes = Fakes(transcriber=FakeTranscriber(forever))
    async with stopping(fakes, caplog) as (running, client):
        async with client.stream("POST", "/v1/transcribe/stream", content=b"abcd") as response:
            lines = response.aiter_lines()
            async for line in lines:
                if "Раз." in line:
                    break
            end(running, way)
            rest = [json.loads(line.removeprefix("data: ")) async for line in lines if line.startswith("data: ")]
        [last] = rest
        assert (last["type"], last["code"], last["last"]) == ("error", "shutting_down", True)
        assert last["retry_after_ms"] == 5000


async def never_end(websocket: WebSocket, context: AppContext) -> None:
    await websocket.accept()
    await asyncio.Event().wait()


@pytest.mark.parametrize("way", WAYS)
async def test_a_session_is_closed_as_going_away(way: str, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(Fakes().context(Limits(shutdown_drain_secs=0.1)), native=never_end) as running:
        session = await websockets.connect(f"{running.ws}/v1/ws")
        end(running, way)
        await session.wait_closed()
        assert session.close_code == 1001
