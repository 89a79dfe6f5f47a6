"""The client module in Python loses and repeats nothing, whatever happens to its connections.

Over real sockets and workers in memory; each session's finals are compared with what its script says.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults.cable import laid
from examples.python.gigastt_client import ConnectionFailed, KeptAudio, Session
from gigastt.config import Limits
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.native import server
from tests.fakes.scripted import both_channels, speech, transcript
from tests.gateway.api.test_resumption import sharing
from tests.waiting import wait_until

WORDS = [index % 600 + 1 if index % 7 else 0 for index in range(1, 150)]
STALLS = (0.1, 0.3)


def expected(values: list[int]) -> list[str]:
    return [" ".join(words) for words in transcript(values)]


async def finals_of(session: Session) -> list[dict[str, Any]]:
    """Read to the end; return the finals that have words."""
    finals = [event async for event in session.events() if event["type"] == "final"]
    assert [final["seq"] for final in finals] == list(range(len(finals)))
    return [final for final in finals if final["text"]]


async def speak(session: Session, values: list[int], pause: float = 0.002) -> None:
    """Send a script in pieces of odd sizes, and stop."""
    pcm = speech(values).tobytes()
    for begin in range(0, len(pcm), 1_777):
        await session.send(pcm[begin : begin + 1_777])
        await asyncio.sleep(pause)
    await session.stop()


async def test_a_session_without_faults_is_one_connection() -> None:
    async with server(MemoryPool(automatic=True)) as running, Session(running.ws + "/v1/ws", partials=False) as session:
        speaking = asyncio.create_task(speak(session, WORDS, 0))
        assert [final["text"] for final in await finals_of(session)] == expected(WORDS)
        await speaking
    assert session.reconnects == 0


async def test_both_channels_are_told_to_their_end() -> None:
    pool = MemoryPool(automatic=True)
    async with server(pool) as running, Session(running.ws + "/v1/ws", partials=False, channels=2) as session:
        await session.send(both_channels([1, 2], [3, 4]).tobytes())
        await session.stop()
        told = [(final["channel"], final["text"]) for final in await finals_of(session)]
    assert told == [(0, "w1 w2"), (1, "w3 w4")]


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_lost_over_a_cable_that_is_cut(seed: int) -> None:
    chance = random.Random(seed)
    pool = MemoryPool(automatic=True, sessions=3)
    async with server(pool) as running, laid(running.port) as cable:
        url = f"ws://127.0.0.1:{cable.port}/v1/ws"
        async with Session(url) as one, Session(url, sample_rate=16_000, partials=False) as two:
            working = [asyncio.create_task(speak(each, WORDS)) for each in (one, two)]
            reading = [asyncio.create_task(finals_of(each)) for each in (one, two)]
            await wait_until(lambda: one._acknowledges and two._acknowledges)
            cable.cut()
            while not all(task.done() for task in reading):
                await asyncio.sleep(chance.uniform(0.05, 0.3))
                cable.disturb(chance, STALLS)
                pool.kill(chance.choice(pool.workers))
            for task in working:
                await task
            for finals in [await task for task in reading]:
                assert [final["text"] for final in finals] == expected(WORDS)
                starts = [round(0.28 * index, 2) for index in range(len(finals))]
                assert [final["start"] for final in finals] == starts
    assert one.reconnects + two.reconnects > 0
    await wait_until(lambda: not pool.places.active)


async def test_a_session_goes_on_at_another_server(secret: Path) -> None:
    async with (
        sharing(secret) as first,
        sharing(secret) as second,
        laid(first.port) as cable,
        Session(f"ws://127.0.0.1:{cable.port}/v1/ws", partials=False) as session,
    ):
        speaking = asyncio.create_task(speak(session, WORDS))
        reading = asyncio.create_task(finals_of(session))
        for port in (second.port, first.port, second.port):
            await asyncio.sleep(0.1)
            cable.upstream = port
            cable.cut()
            before = session.reconnects
            await wait_until(lambda before=before: session.reconnects > before or reading.done())  # type: ignore[misc]
        await speaking
        assert [final["text"] for final in await reading] == expected(WORDS)


async def test_a_server_that_does_not_know_the_token_gets_the_kept_audio() -> None:
    async with (
        sharing(None) as first,
        sharing(None) as second,
        laid(first.port) as cable,
        Session(f"ws://127.0.0.1:{cable.port}/v1/ws", partials=False) as session,
    ):
        events: list[dict[str, Any]] = []

        async def read() -> None:
            async for event in session.events():
                events.append(event)

        reading = asyncio.create_task(read())
        await session.send(speech([1, 2, 0, 3]).tobytes())
        await wait_until(lambda: session.audio.start)  # something is committed
        cable.upstream = second.port
        cable.cut()
        await session.send(speech([4, 0, 5]).tobytes())
        await session.stop()
        await reading
    finals = [event for event in events if event["type"] == "final"]
    assert [(final["seq"], final["text"], final["start"]) for final in finals] == [
        (0, "w1 w2", 0.0),
        (1, "w3 w4", 0.12),
        (2, "w5", 0.24),
    ]
    assert {"type": "connection", "state": "begun anew"} in events


async def test_a_server_that_stops_is_left_behind_a_final() -> None:
    async with (
        server(MemoryPool(automatic=True)) as first,
        server(MemoryPool(automatic=True)) as second,
        laid(first.port) as cable,
        Session(f"ws://127.0.0.1:{cable.port}/v1/ws") as session,
    ):
        reading = asyncio.create_task(finals_of(session))
        await session.send(speech([1, 2]).tobytes())
        await wait_until(lambda: session._acknowledges)
        cable.upstream = second.port
        first.server.handle_exit(15, None)
        await wait_until(lambda: session._go_at)
        assert session.reconnects == 0
        await session.send(speech([0, 3]).tobytes())
        await wait_until(lambda: session.reconnects)
        await session.stop()
        assert [final["text"] for final in await reading] == ["w1 w2", "w3"]


async def test_flushes_survive_cuts() -> None:
    async with (
        server(MemoryPool(automatic=True)) as running,
        laid(running.port) as cable,
        Session(f"ws://127.0.0.1:{cable.port}/v1/ws", partials=False) as session,
    ):
        told: list[dict[str, Any]] = []

        async def read() -> None:
            async for event in session.events():
                told.append(event)

        def flushed() -> list[str]:
            return [event["text"] for event in told if event.get("endpoint_reason") == "flush"]

        reading = asyncio.create_task(read())
        for value in range(1, 8):
            await session.send(speech([value]).tobytes())
            await session.flush()
            if value % 3 == 0:
                await wait_until(lambda value=value: len(flushed()) == value)  # type: ignore[misc]
                cable.cut()
        await session.stop()
        await reading
    assert session.reconnects >= 2
    assert flushed() == [f"w{value}" for value in range(1, 8)]  # one answer to each


async def test_silence_ends_a_session_and_more_audio_begins_another() -> None:
    async with (
        server(MemoryPool(automatic=True), Limits(idle_timeout_secs=0.3)) as running,
        Session(running.ws + "/v1/ws") as session,
    ):
        reading = asyncio.create_task(finals_of(session))
        await session.send(speech([1]).tobytes())
        await wait_until(lambda: session._asleep)
        await session.send(speech([2]).tobytes())
        await session.stop()
        finals = await reading
    assert [(final["text"], final["start"]) for final in finals] == [("w1", 0.0), ("w2", 0.04)]


async def test_the_longest_session_is_followed_by_another() -> None:
    async with (
        server(MemoryPool(automatic=True), Limits(max_session_secs=0.3)) as running,
        Session(running.ws + "/v1/ws", partials=False) as session,
    ):
        speaking = asyncio.create_task(speak(session, WORDS, 0.005))
        assert [final["text"] for final in await finals_of(session)] == expected(WORDS)
        await speaking
    assert session.reconnects


async def test_refusals_are_told() -> None:
    async with (
        server(MemoryPool(automatic=True)) as running,
        Session(running.ws + "/v1/ws", sample_rate=16_000) as session,
    ):
        await session.send(b"OggS" + bytes(4_000))
        with pytest.raises(ConnectionFailed, match="1003: container_not_pcm"):
            [event async for event in session.events()]
        async with Session(running.ws + "/nothing") as session:
            with pytest.raises(ConnectionFailed, match="404"):
                [event async for event in session.events()]
    async with Session("ws://127.0.0.1:9/v1/ws", patience=0.2) as session:
        with pytest.raises(ConnectionFailed, match="no connection"):
            [event async for event in session.events()]
        with pytest.raises(ConnectionFailed):
            await session.send(b"")


def test_kept_audio_counts_whole_samples() -> None:
    audio = KeptAudio(4)
    audio.append(b"abcdefghij")
    assert (audio.start, audio.end) == (0, 2)
    audio.trim(1)
    assert (audio.start, audio.end, audio.read(1, 2)) == (1, 2, b"efgh")
    audio.append(b"kl")
    assert audio.read(2, 3) == b"ijkl"
