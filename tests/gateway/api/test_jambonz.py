"""jambonz' custom speech: `start`, audio, `stop`, and transcriptions as jambonz takes them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.fakes.gateway import serving
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.native import memory_context
from tests.fakes.scripted import POISON, speech
from tests.gateway.api.calls import told

pytestmark = pytest.mark.slow

START: dict[str, Any] = {
    "type": "start",
    "language": "ru-RU",
    "format": "raw",
    "encoding": "LINEAR16",
    "interimResults": True,
    "sampleRateHz": 16_000,
    "options": {"hints": ["раз"], "endpoint_silence_ms": 800},
}


@asynccontextmanager
async def session(**fields: Any) -> AsyncIterator[ClientConnection]:
    async with (
        serving(memory_context(MemoryPool(automatic=True))) as running,
        connect(f"{running.ws}/v1/jambonz") as socket,
    ):
        await socket.send(json.dumps({**START, **fields}))
        yield socket


async def stopped(socket: ClientConnection) -> list[dict[str, Any]]:
    await socket.send('{"type":"stop"}')
    return await told(socket)


async def test_words_come_as_transcriptions() -> None:
    async with session() as socket:
        await socket.send(speech((1, 2)).tobytes())
        messages = await stopped(socket)
        assert socket.close_code == 1000
    final = messages[-1]
    assert final["is_final"] is True
    assert final["alternatives"][0]["transcript"] == "w1 w2"
    assert (final["language"], final["channel"]) == ("ru-RU", 1)
    assert {message["type"] for message in messages} == {"transcription"}
    assert set(final) == {"type", "is_final", "alternatives", "language", "channel"}
    assert set(final["alternatives"][0]) == {"confidence", "transcript"}


@pytest.mark.parametrize("interim", [True, False])
async def test_interim_results_come_where_they_are_asked_for(interim: bool) -> None:
    async with session(interimResults=interim) as socket:
        await socket.send(speech((1, 2, 3)).tobytes())
        messages = await stopped(socket)
    assert (False in [message["is_final"] for message in messages]) == interim


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"language": "en-US"}, "invalid_parameter"),
        ({"language": 7}, "invalid_parameter"),
        ({"sampleRateHz": 4_000}, "invalid_sample_rate"),
        ({"encoding": "OPUS"}, "invalid_configuration"),
        ({"options": {"endpoint_silence_ms": 1}}, "invalid_configuration"),
    ],
)
async def test_a_wrong_start_ends_the_session_with_the_reason(wrong: dict[str, Any], code: str) -> None:
    async with session(**wrong) as socket:
        [error] = await told(socket)
        assert (error["type"], error["code"]) == ("error", code)
        assert error["error"]
        assert socket.close_code == 1003


async def test_messages_that_mean_nothing_are_told_once() -> None:
    async with session() as socket:
        for text in ("hello", '{"type":"what"}', "[]"):
            await socket.send(text)
        await socket.send(speech((1,)).tobytes())
        messages = await stopped(socket)
    assert [message["code"] for message in messages if message["type"] == "error"] == ["invalid_message"]


async def test_a_part_without_words_is_an_error_and_the_session_ends_as_it_should() -> None:
    async with session() as socket:
        await socket.send(speech((1, 0, 0, POISON, 0, 0, 2)).tobytes())
        messages = await stopped(socket)
        assert "segment_failed" in [message.get("code") for message in messages]
        assert socket.close_code == 1000


async def test_a_second_start_after_audio_is_refused_and_the_session_goes_on() -> None:
    async with session() as socket:
        await socket.send(speech((1,)).tobytes())
        await socket.send(json.dumps(START))
        messages = await stopped(socket)
    assert [message.get("code") for message in messages if message["type"] == "error"] == ["configure_too_late"]


async def test_a_client_that_hangs_up_is_forgotten() -> None:
    async with session() as socket:
        await socket.send(speech((1,)).tobytes())
        await socket.close()
        with pytest.raises(ConnectionClosed):
            await socket.recv()
