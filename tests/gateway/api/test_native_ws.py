"""The WebSocket shell, through a real server and real sockets, over workers in memory."""

from __future__ import annotations

import asyncio

import pytest
from websockets.exceptions import ConnectionClosed

from gigastt.config import Limits
from gigastt.gateway.api.conversation import MOST_EMPTY_FRAMES
from gigastt.gateway.app import NATIVE
from tests.fakes.gateway import serving
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.native import Client, client, memory_context, server, session
from tests.fakes.scripted import POISON, speech
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


async def test_ready_says_what_the_server_takes() -> None:
    async with server(MemoryPool(automatic=True)) as running, client(running) as connected:
        ready = await connected.receive("ready")
    session_id = ready.pop("session_id")
    assert len(session_id) == 32
    assert ready.pop("resume_token")
    assert ready == {
        "type": "ready",
        "model": "gigaam-v3-e2e-rnnt",
        "sample_rate": 48_000,
        "version": "1.2",
        "min_protocol_version": "1.0",
        "supported_rates": [8_000, 16_000, 24_000, 44_100, 48_000],
        "sample_rate_range": [8_000, 192_000],
        "supported_encodings": ["pcm_s16le", "pcm_f32le", "mulaw", "alaw"],
        "max_channels": 2,
        "diarization": False,
        "max_session_secs": 3600,
        "idle_timeout_secs": 300,
    }


async def test_partials_and_finals_have_the_fields_of_the_protocol() -> None:
    async with session() as connected:
        await connected.speak(1, 2)
        partial = await connected.receive("partial")
        await connected.speak(0)
        final = await connected.receive("final")
    timestamp = partial.pop("timestamp")
    assert isinstance(timestamp, float)
    word = {"word": "w1", "start": 0.0, "end": 0.04, "confidence": 1.0}
    assert partial["words"][0] == word
    assert {k: v for k, v in partial.items() if k != "words"} == {
        "type": "partial",
        "text": "w1 w2",
        "is_final": False,
        "seq": 0,
        "stable": 1,
    }
    assert {k: v for k, v in final.items() if k not in ("words", "timestamp")} == {
        "type": "final",
        "text": "w1 w2",
        "is_final": True,
        "seq": 0,
        "start": 0.0,
        "end": 0.08,
        "confidence": 1.0,
        "endpoint_reason": "silence",
        "speech_final": True,
    }


async def test_stop_gives_one_last_final_and_a_normal_close() -> None:
    async with session() as connected:
        await connected.speak(1, 0, 2)
        assert await connected.stop() == 1000
    assert [(f["text"], f["seq"], f["endpoint_reason"]) for f in connected.of("final")] == [
        ("w1", 0, "silence"),
        ("w2", 1, "stop"),
    ]


async def test_stop_without_audio_gives_an_empty_final() -> None:
    async with session() as connected:
        assert await connected.stop() == 1000
    [final] = connected.of("final")
    assert (final["text"], final["endpoint_reason"], final["seq"]) == ("", "stop", 0)


@pytest.mark.parametrize("size", [7, 333, 1280, 100_000])
async def test_frames_of_any_size_give_the_same_finals(size: int) -> None:
    audio = speech([1, 2, 0, 3, 4, 4, 0, 0, 5]).tobytes()
    async with session() as connected:
        for at in range(0, len(audio), size):
            await connected.socket.send(audio[at : at + size])
        assert await connected.stop() == 1000
    assert [final["text"] for final in connected.of("final")] == ["w1 w2", "w3 w4 w4", "w5"]


async def test_other_rates_are_resampled_and_keep_their_time() -> None:
    async with server(MemoryPool(automatic=True)) as running, client(running) as connected:
        await connected.receive("ready")
        await connected.socket.send(bytes(48_000 * 2))
        await connected.stop()
    assert connected.of("final")[-1]["end"] == pytest.approx(1.0, abs=0.001)


async def test_two_channels_say_which_is_which() -> None:
    async with session(channels=2) as connected:
        left, right = speech([1, 0, 0, 0]), speech([0, 0, 2, 0])
        stereo = b"".join(a.tobytes() + b.tobytes() for a, b in zip(left, right, strict=True))
        await connected.socket.send(stereo)
        assert await connected.stop() == 1000
    spoken = [final for final in connected.of("final") if final["text"]]
    assert [(final["channel"], final["text"]) for final in spoken] == [(0, "w1"), (1, "w2")]


async def test_a_skipped_span_is_declared_and_the_session_goes_on() -> None:
    async with session() as connected:
        await connected.speak(1, 0)
        await connected.receive("final")
        await connected.speak(POISON)
        error = await connected.receive("error")
        await connected.speak(2, 0)
        assert await connected.stop() == 1000
    assert (error["code"], error["start"], error["end"]) == ("segment_failed", 0.08, 0.12)
    assert [final["text"] for final in connected.of("final")] == ["w1", "w2", ""]


async def test_a_wrong_configuration_is_answered_and_the_session_goes_on() -> None:
    async with session() as connected:
        await connected.configure(sample_rate=7)
        assert (await connected.receive("error"))["code"] == "invalid_sample_rate"
        await connected.configure(sample_rate=16_000)
        await connected.speak(1)
        await connected.receive("partial")
        await connected.configure(sample_rate=8_000)
        assert (await connected.receive("error"))["code"] == "configure_too_late"
        assert await connected.stop() == 1000
    assert connected.of("final")[-1]["text"] == "w1"


async def test_another_version_is_answered_and_closed() -> None:
    async with session() as connected:
        await connected.configure(protocol_version="9")
        assert (await connected.receive("error"))["code"] == "unsupported_protocol_version"
        assert await connected.read_to_close() == 1002


async def test_garbage_without_end_is_a_policy_violation() -> None:
    async with session() as connected:
        for _ in range(102):
            await connected.socket.send("{}")
        assert (await connected.receive("error"))["code"] == "invalid_message"
        assert (await connected.receive("error"))["code"] == "policy_violation"
        assert await connected.read_to_close() == 1008


async def test_empty_frames_count_however_their_length_is_written() -> None:
    empty = b"\x82\xfe\0\0" + bytes(4)  # in 16 bits, where 7 would do
    async with session() as connected:
        await connected.speak(1)
        # One that comes by itself and is taken for audio would forgive those before it.
        for frames in (empty * (MOST_EMPTY_FRAMES - 50), *[empty] * 50):
            connected.socket.transport.write(frames)
            for _ in range(20):  # the server runs in this loop: it reads them before the ping
                await asyncio.sleep(0)
            await (await connected.socket.ping())
        connected.socket.transport.write(empty * MOST_EMPTY_FRAMES)
        assert (await connected.receive("error"))["code"] == "policy_violation"
        assert await connected.read_to_close() == 1008


async def test_an_idle_client_gets_its_final_and_1001() -> None:
    async with session(limits=Limits(idle_timeout_secs=0.2)) as connected:
        await connected.speak(1)
        assert await connected.read_to_close() == 1001
    assert connected.of("error")[0]["code"] == "idle_timeout"
    final = connected.messages[-1]
    assert (final["type"], final["text"], final["endpoint_reason"]) == ("final", "w1", "timeout")


async def test_the_longest_session_ends_with_its_final_and_1008() -> None:
    async with session(limits=Limits(max_session_secs=0.3)) as connected:
        await connected.speak(1)
        speaking = asyncio.create_task(_speak_for_ever(connected))
        assert await connected.read_to_close() == 1008
        await speaking
    assert connected.of("error")[0]["code"] == "max_session_duration_exceeded"
    assert connected.messages[-1]["endpoint_reason"] == "timeout"


async def _speak_for_ever(connected: Client) -> None:
    try:
        while True:
            await connected.speak(1)
            await asyncio.sleep(0.001)
    except ConnectionClosed:
        pass


async def test_drain_gives_every_session_its_last_final_and_1001() -> None:
    pool = MemoryPool(automatic=True)
    async with server(pool) as running, client(running) as idle, client(running) as speaking:
        await idle.receive("ready")
        await speaking.receive("ready")
        await speaking.configure(sample_rate=16_000)
        await speaking.speak(1, 2)
        await speaking.receive("partial")
        pool.begin_drain()
        assert await speaking.read_to_close() == 1001
        assert await idle.read_to_close() == 1001
        async with client(running) as late:
            assert (await late.receive("error"))["code"] == "shutting_down"
            assert await late.read_to_close() == 1001
    assert (speaking.messages[-1]["text"], speaking.messages[-1]["endpoint_reason"]) == ("w1 w2", "shutdown")
    assert idle.messages[-1]["endpoint_reason"] == "shutdown"


async def test_waiting_for_capacity_ends_with_a_time_to_come_back() -> None:
    pool = MemoryPool(sessions=1, automatic=True)
    limits = Limits(pool_checkout_timeout_secs=0.1)
    async with server(pool, limits) as running, client(running) as first:
        await first.receive("ready")
        async with client(running) as second:
            error = await second.receive("error")
            assert await second.read_to_close() == 1013
    assert error["code"] == "timeout"
    assert error["retry_after_ms"] > 0


async def test_a_client_that_waits_is_admitted_when_another_leaves_and_loses_no_frame() -> None:
    pool = MemoryPool(sessions=1, automatic=True)
    async with server(pool) as running, client(running) as second_running:
        await second_running.receive("ready")
        async with client(running) as second:
            await second.configure(sample_rate=16_000)
            await second.speak(1, 0)
            await second.speak(2)
            await wait_until(lambda: pool.places.waiters)
            await second_running.stop()
            await second.receive("ready")
            assert await second.stop() == 1000
    assert [final["text"] for final in second.of("final")] == ["w1", "w2"]


async def test_a_client_that_leaves_while_waiting_gives_up_its_turn() -> None:
    pool = MemoryPool(sessions=1, automatic=True)
    async with server(pool) as running, client(running) as first:
        await first.receive("ready")
        async with client(running):
            await wait_until(lambda: pool.places.waiters)
        await wait_until(lambda: not pool.places.waiters)
    assert pool.places.active == 0


async def test_a_client_that_hangs_up_frees_its_place_and_its_worker() -> None:
    pool = MemoryPool(automatic=True)
    async with server(pool) as running:
        async with client(running) as connected:
            await connected.receive("ready")
            await connected.socket.send(bytes(100_000))
            await wait_until(lambda: pool.router.tracks)
            connected.socket.transport.abort()
        await wait_until(lambda: not pool.router.tracks and not pool.places.active)


async def test_an_idle_client_has_no_track() -> None:
    pool = MemoryPool(automatic=True)
    async with server(pool) as running, client(running) as connected:
        await connected.receive("ready")
        await connected.configure(sample_rate=8_000)
        await connected.socket.send(b"")
        await connected.socket.send("?")
        await wait_until(lambda: pool.places.active)
        assert pool.router.tracks == 0


async def test_audio_waits_for_a_worker_and_nothing_is_dropped() -> None:
    pool = MemoryPool(workers=0, automatic=True)
    values = [n % 9 + 1 if n % 20 else 0 for n in range(200)]  # 8 s: more than there is credit for
    async with session(pool) as connected:
        sending = asyncio.create_task(connected.speak(*values))
        await wait_until(lambda: pool.router.most_lag >= 5 * 16_000)
        pool.add_worker()
        await sending
        assert await connected.stop() == 1000
    words = [word["word"] for final in connected.of("final") for word in final["words"]]
    assert words == [f"w{value}" for value in values if value]


async def test_metrics_tell_of_audio_and_latency() -> None:
    pool = MemoryPool(automatic=True)
    context = memory_context(pool)
    async with serving(context, native=NATIVE) as running, client(running) as connected:
        await connected.receive("ready")
        await connected.configure(sample_rate=16_000)
        await connected.speak(*[1] * 25)
        assert await connected.stop() == 1000
    registry = pool.metrics.registry
    assert registry.get_sample_value("gigastt_first_partial_seconds_count") == 1
    assert registry.get_sample_value("gigastt_final_latency_seconds_count") == 1
    assert b"gigastt_audio_seconds_total 1.0\n" in pool.metrics.render()
