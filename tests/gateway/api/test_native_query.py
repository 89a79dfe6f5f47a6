"""`/v1/ws` configured by its URL, as telephone switches open it: no `configure`, text of their own, raw audio."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.fakes.memory_pool import MemoryPool
from tests.fakes.native import client, server
from tests.fakes.scripted import speech

pytestmark = pytest.mark.slow

METADATA = '{"callSid":"4bd2","sampleRate":8000,"mixType":"stereo"}'


def path(**query: object) -> str:
    return f"/v1/ws?{urlencode(query)}"


@pytest.mark.parametrize("encoding", ["pcm_s16le", "linear16", "LINEAR16"])
async def test_audio_may_come_first(encoding: str) -> None:
    query = path(sample_rate=16_000, encoding=encoding, endpoint_mode="manual")
    async with server(MemoryPool(automatic=True)) as running, client(running, query) as caller:
        await caller.speak(1, 2)
        assert await caller.stop() == 1000
        assert [final["text"] for final in caller.of("final")] == ["w1 w2"]


async def test_two_channels_are_told_apart() -> None:
    samples = speech((1, 2)).repeat(2)
    query = path(sample_rate=16_000, encoding="linear16", channels=2)
    async with server(MemoryPool(automatic=True)) as running, client(running, query) as caller:
        await caller.socket.send(samples.tobytes())
        assert await caller.stop() == 1000
        assert {final["channel"] for final in caller.of("final") if final["text"]} == {0, 1}


async def test_text_of_a_switch_changes_nothing_and_is_not_answered() -> None:
    query = path(sample_rate=16_000)
    async with server(MemoryPool(automatic=True)) as running, client(running, query) as caller:
        for text in (METADATA, "my custom payload", '{"type":"start"}', '{"event":"dtmf","digit":"5"}'):
            await caller.socket.send(text)
        await caller.speak(1)
        await caller.socket.send(METADATA)
        assert await caller.stop() == 1000
        assert caller.of("error") == []
        assert [final["text"] for final in caller.of("final")] == ["w1"]


async def test_a_client_that_gives_no_format_is_told_what_its_text_means() -> None:
    async with server(MemoryPool(automatic=True)) as running, client(running, "/v1/ws?call=17") as caller:
        await caller.socket.send(METADATA)
        assert (await caller.receive("error"))["code"] == "invalid_message"


async def test_a_configuration_in_the_url_can_still_be_changed() -> None:
    query = path(sample_rate=8_000, encoding="mulaw")
    async with server(MemoryPool(automatic=True)) as running, client(running, query) as caller:
        await caller.configure(sample_rate=16_000, encoding="pcm_s16le")
        await caller.speak(3)
        assert await caller.stop() == 1000
        assert [final["text"] for final in caller.of("final")] == ["w3"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"sample_rate": 7_999}, "sample_rate must be a whole number of Hz from 8000 to 192000."),
        ({"sample_rate": "8k"}, "sample_rate must be"),
        ({"encoding": "opus"}, "encoding must be one of"),
        ({"channels": 3}, "channels must be 1 or 2."),
        ({"endpoint_silence_ms": 7}, "endpoint_silence_ms must be"),
        ({"samplerate": 8_000}, "Was sample_rate meant?"),
        ({"protocol_version": "9"}, "This server speaks"),
    ],
)
async def test_a_wrong_query_is_refused_before_the_upgrade(query: dict[str, object], said: str) -> None:
    async with server(MemoryPool()) as running:
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"{running.ws}{path(**query)}"):
                pass
    assert refused.value.response.status_code == 400
    answer = json.loads(refused.value.response.body or b"")
    assert answer["code"] == "invalid_parameter"
    assert said in answer["error"]
