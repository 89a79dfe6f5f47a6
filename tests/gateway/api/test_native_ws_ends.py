"""Ways in which an utterance or a session ends over a real socket: flushes, pauses, and closes with last words."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed

from gigastt.config import Limits
from gigastt.gateway.api.conversation import MOST_EMPTY_FRAMES, MOST_GARBAGE_FRAMES
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.native import Client, client, server, session
from tests.fakes.scripted import speech
from tests.gateway.api.test_containers import wav_header

pytestmark = pytest.mark.slow


async def test_flush_gives_a_final_and_keeps_the_session() -> None:
    async with session(partials=False) as connected:
        await connected.speak(1, 2)
        await connected.socket.send('{"type":"flush"}')
        flushed = await connected.receive("final")
        await connected.speak(3)
        assert await connected.stop() == 1000
    assert (flushed["text"], flushed["endpoint_reason"]) == ("w1 w2", "flush")
    assert [(f["text"], f["seq"], f["start"]) for f in connected.of("final")] == [("w1 w2", 0, 0.0), ("w3", 1, 0.08)]


async def test_flush_before_any_audio_is_answered_and_counted() -> None:
    async with session() as connected:
        await connected.socket.send('{"type":"flush"}')
        await connected.receive("final")
        await connected.configure(endpoint_silence_ms=900)
        await connected.speak(1)
        assert await connected.stop() == 1000
    assert [(f["text"], f["seq"], f["endpoint_reason"]) for f in connected.of("final")] == [
        ("", 0, "flush"),
        ("w1", 1, "stop"),
    ]
    assert not connected.of("error")


async def test_a_client_that_stops_sending_gets_its_words_and_may_go_on() -> None:
    async with session(partials=False, endpoint_silence_ms=200) as connected:
        await connected.speak(1, 2)
        shown = await connected.receive("partial")
        await connected.speak(3, 0)
        assert await connected.stop() == 1000
    assert (shown["text"], shown["as_final"], shown["is_final"]) == ("w1 w2", True, False)
    assert [f["text"] for f in connected.of("final")] == ["w1 w2 w3", ""]


async def test_ping_is_answered_and_signs_of_life_cost_nothing() -> None:
    async with session() as connected:
        await connected.speak(1)
        for _ in range(2 * MOST_GARBAGE_FRAMES):
            await connected.socket.send('{"type":"KeepAlive"}')
        await connected.socket.send('{"type":"ping"}')
        await connected.receive("pong")
        assert await connected.stop() == 1000
    assert connected.of("final")[-1]["text"] == "w1"
    assert not connected.of("error")


@pytest.mark.parametrize(("frame", "most"), [("{}", MOST_GARBAGE_FRAMES), (b"", MOST_EMPTY_FRAMES)])
async def test_a_close_for_garbage_comes_after_the_pending_words(
    frame: str | bytes, most: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with session() as connected:
        await connected.speak(1, 2)
        with suppress(ConnectionClosed):
            for _ in range(2 * most):  # some are forgiven while they are sent
                await connected.socket.send(frame)
        assert await connected.read_to_close() == 1008
    assert connected.of("error")[-1]["code"] == "policy_violation"
    final = connected.messages[-1]
    assert (final["type"], final["text"], final["endpoint_reason"]) == ("final", "w1 w2", "error")
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_refused_rate_writes_no_garbage() -> None:
    async with session(sample_rate=7) as connected:
        await connected.speak(1, 2)
        assert await connected.read_to_close() == 1003
    assert [error["code"] for error in connected.of("error")] == ["invalid_sample_rate"] * 2
    assert [final["text"] for final in connected.of("final")] == [""]


@pytest.mark.parametrize("rate", [8_000, 11_025, 12_000, 22_050, 32_000, 96_000, 192_000])
async def test_any_rate_is_resampled_and_keeps_its_time(rate: int) -> None:
    async with session(sample_rate=rate) as connected:
        await connected.socket.send(bytes(2 * rate))
        await connected.stop()
    assert connected.of("final")[-1]["end"] == pytest.approx(1.0, abs=0.001)


async def test_the_header_of_a_wav_file_of_the_right_format_is_no_audio() -> None:
    async with session() as connected:
        await connected.socket.send(wav_header() + speech([1, 2]).tobytes())
        await connected.stop()
    assert [(f["text"], f["start"]) for f in connected.of("final")] == [("w1 w2", 0.0)]


async def test_a_container_is_named_and_closed() -> None:
    async with session() as connected:
        await connected.socket.send(b"\x1a\x45\xdf\xa3" + bytes(1_000))
        assert await connected.read_to_close() == 1003
    assert [message["type"] for message in connected.messages] == ["ready", "error", "final"]
    assert connected.of("error")[0]["code"] == "container_not_pcm"


async def test_what_a_client_got_wrong_is_told_once() -> None:
    async with server(MemoryPool(automatic=True)) as running, client(running) as connected:
        await connected.receive("ready")
        for _ in range(3):
            await connected.configure(sampleRate=16_000)
            await connected.socket.send("stop")
        await connected.socket.send("\ufeff" + json.dumps({"type": "configure", "sample_rate": "16000"}))
        await connected.speak(1, 0)
        assert await connected.stop() == 1000
    assert [error["code"] for error in connected.of("error")] == ["unknown_field", "invalid_message"]
    assert connected.of("final")[0]["text"] == "w1"


async def test_a_silent_session_gives_its_place_and_its_last_words_to_a_client_with_fewer() -> None:
    limits = Limits(pool_checkout_timeout_secs=2)
    async with (
        server(MemoryPool(sessions=2, automatic=True), limits) as running,
        client(running) as speaking,
        client(running) as silent,
    ):
        for connected in (speaking, silent):
            await connected.receive("ready")
            await connected.configure(sample_rate=16_000)
        await silent.speak(1)
        await silent.receive("partial")
        seconds = speech([2]).tobytes() * 20
        talking = asyncio.create_task(keep_talking(speaking, seconds))
        async with client(running, local_addr=("127.0.0.2", 0)) as newcomer:
            await newcomer.receive("ready")
            assert await newcomer.stop() == 1000
        assert await silent.read_to_close() == 1001
        talking.cancel()
        assert await speaking.stop() == 1000
    assert [error["code"] for error in silent.of("error")] == ["idle_timeout"]
    assert [(final["text"], final["endpoint_reason"]) for final in silent.of("final")] == [("w1", "timeout")]
    assert not speaking.of("error")


async def keep_talking(connected: Client, pcm: bytes) -> None:
    while True:
        await connected.socket.send(pcm)
        await asyncio.sleep(0.1)
