"""One line in the log for each session, with why it was over; what of it is counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import connect

from gigastt.config import Limits
from gigastt.gateway.app import NATIVE
from gigastt.gateway.metrics import Metrics
from gigastt.log import fields_of
from tests.fakes.gateway import Running, serving
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.native import client, memory_context
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


def lines(caplog: pytest.LogCaptureFixture, *events: str) -> list[dict[str, Any]]:
    return [fields for fields in map(fields_of, caplog.records) if fields["event"] in events]


@asynccontextmanager
async def metered(pool: MemoryPool, limits: Limits | None = None) -> AsyncIterator[tuple[Running, Metrics]]:
    context = memory_context(pool, limits)
    async with serving(context, native=NATIVE) as running:
        yield running, context.metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"gigastt_{name}", labels)


async def test_a_session_has_one_line_with_what_it_was(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    pool = MemoryPool(automatic=True)
    async with metered(pool) as (running, metrics):
        async with client(running) as connected:
            await connected.configure(sample_rate=16_000)
            await connected.speak(*[1] * 25)
            assert await connected.stop() == 1000
        await wait_until(lambda: lines(caplog, "session_closed") != [])
    [line] = lines(caplog, "session_closed", "session_refused", "request")
    told = {name: line[name] for name in ("protocol", "client", "reason", "close_code", "audio_seconds", "finals")}
    assert told == {
        "protocol": "native",
        "client": "127.0.0.1",
        "reason": "stop",
        "close_code": 1000,
        "audio_seconds": 1.0,
        "finals": 1,
    }
    assert line["words"] == 25
    assert line["seconds"] > 0
    assert value(metrics, "sessions_closed_total", reason="stop") == 1
    assert value(metrics, "session_duration_seconds_count") == 1


async def test_a_client_that_hangs_up_is_told_from_one_that_stops(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    pool = MemoryPool(automatic=True)
    async with metered(pool) as (running, metrics):
        async with client(running) as connected:
            await connected.configure(sample_rate=16_000)
            await connected.speak(1, 2)
            connected.socket.transport.abort()
        await wait_until(lambda: lines(caplog, "session_closed") != [])
    [line] = lines(caplog, "session_closed")
    assert line["reason"] == "client_gone"
    assert "close_code" not in line
    assert value(metrics, "sessions_closed_total", reason="client_gone") == 1


async def test_a_session_that_is_too_long_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    pool = MemoryPool(automatic=True)
    async with metered(pool, Limits(max_session_secs=0.2)) as (running, metrics), client(running) as connected:
        assert await connected.read_to_close() == 1008
        await wait_until(lambda: lines(caplog, "session_closed") != [])
    [line] = lines(caplog, "session_closed")
    assert (line["reason"], line["close_code"]) == ("max_session_duration_exceeded", 1008)
    assert value(metrics, "errors_total", code="max_session_duration_exceeded") == 1


async def test_a_client_that_found_no_place_is_no_success(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    pool = MemoryPool(sessions=1, automatic=True)
    async with metered(pool, Limits(pool_checkout_timeout_secs=0.05)) as (running, metrics), pool.places.admit(0):
        async with client(running) as connected:
            assert await connected.read_to_close() == 1013
        await wait_until(lambda: lines(caplog, "session_refused") != [])
    [line] = lines(caplog, "session_closed", "session_refused", "request")
    assert (line["event"], line["reason"], line["close_code"]) == ("session_refused", "timeout", 1013)
    assert line["level"] == "warning"
    assert value(metrics, "errors_total", code="timeout") == 1
    assert value(metrics, "session_duration_seconds_count") == 0


async def test_what_is_wrong_and_goes_on_is_counted_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    pool = MemoryPool(automatic=True)
    async with metered(pool) as (running, metrics), connect(f"{running.ws}/v1/ws") as socket:
        await socket.recv()
        await socket.send("no JSON")
        await socket.recv()
        await socket.send('{"type":"stop"}')
        await wait_until(lambda: lines(caplog, "session_closed") != [])
    [line] = lines(caplog, "session_closed")
    assert line["reason"] == "stop"
    assert value(metrics, "errors_total", code="invalid_message") == 1
