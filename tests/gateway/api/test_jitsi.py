"""Meetings of Jitsi: many speakers on one socket, each with a conversation and an end of their own."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from gigastt.config import Limits
from gigastt.gateway.api.jitsi import read_frame
from tests.fakes.gateway import Running, serving
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.native import memory_context
from tests.fakes.scripted import speech
from tests.gateway.api.calls import told
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

END = b"\0"
ANNA, BORIS = "anna-1f", "boris-2e"


def frame(participant: str, audio: bytes, language: str = "ru-RU") -> bytes:
    return f"{participant}|{language}".encode().ljust(60, b"\0") + audio


def frames(participant: str, *values: int, size: int = 640) -> list[bytes]:
    samples = speech(values).tobytes()
    return [frame(participant, samples[begin : begin + size]) for begin in range(0, len(samples), size)]


@asynccontextmanager
async def meeting(pool: MemoryPool, limits: Limits | None = None) -> AsyncIterator[tuple[Running, ClientConnection]]:
    async with serving(memory_context(pool, limits)) as running, connect(f"{running.ws}/v1/jitsi/ws/m1") as socket:
        yield running, socket


def words(messages: list[dict[str, Any]], participant: str) -> str:
    finals = [each for each in messages if each["type"] == "final" and each["participant_id"] == participant]
    return " ".join(each["text"] for each in finals)


async def test_speakers_at_once_are_told_apart() -> None:
    async with meeting(MemoryPool(automatic=True)) as (_, socket):
        for one, other in zip(frames(ANNA, 1, 2, 3), frames(BORIS, 4, 5, 6), strict=True):
            await socket.send(one)
            await socket.send(other)
        await socket.send(END)
        messages = await told(socket)
        assert socket.close_code == 1000
    assert words(messages, ANNA) == "w1 w2 w3"
    assert words(messages, BORIS) == "w4 w5 w6"
    for message in messages:
        assert set(message) == {"id", "participant_id", "ts", "text", "audio", "type", "variance"}
        assert uuid.UUID(message["id"])
    for participant in (ANNA, BORIS):  # an utterance is one, from its first words on
        ids = [message["id"] for message in messages if message["participant_id"] == participant]
        assert len(set(ids)) == sum(message["type"] == "final" for message in messages) // 2


async def test_a_speaker_whose_audio_stops_is_told_at_once() -> None:
    async with meeting(MemoryPool(automatic=True)) as (_, socket):
        for each in frames(ANNA, 1, 2):
            await socket.send(each)
        async with asyncio.timeout(60):  # a pause of two seconds ends the utterance
            while (message := json.loads(await socket.recv()))["type"] != "final":
                pass
        assert message["text"] == "w1 w2"
        for each in frames(ANNA, 3):
            await socket.send(each)
        await socket.send(END)
        assert words(await told(socket), ANNA) == "w3"


async def test_frames_that_mean_nothing_change_nothing() -> None:
    chance = random.Random(3)
    junk: list[str | bytes] = ["text", b"short", frame("", b"\1\1"), b"\xff" * 700, b"no bar".ljust(700, b"\0")]
    async with meeting(MemoryPool(automatic=True)) as (_, socket):
        for each in frames(ANNA, 1, 2):
            await socket.send(each)
            await socket.send(chance.choice(junk))
        await socket.send(END)
        assert words(await told(socket), ANNA) == "w1 w2"
        assert socket.close_code == 1000


async def test_frames_that_mean_nothing_without_end_close_the_meeting() -> None:
    async with meeting(MemoryPool(automatic=True)) as (_, socket):
        for _ in range(200):
            await socket.send(b"nothing")
        assert await told(socket) == []
        assert socket.close_code == 1008


async def test_a_speaker_without_a_place_disturbs_no_other() -> None:
    limits = Limits(pool_checkout_timeout_secs=0.05)
    pool = MemoryPool(automatic=True, sessions=1)
    async with meeting(pool, limits) as (_, socket):
        for each in frames(ANNA, 1):
            await socket.send(each)
        await wait_until(lambda: pool.places.active == 1)
        for each in frames(BORIS, 4):
            await socket.send(each)
        await wait_until(lambda: b"gigastt_pool_timeouts_total 1.0" in pool.metrics.render())
        for each in frames(ANNA, 2):
            await socket.send(each)
        await socket.send(END)
        messages = await told(socket)
        assert socket.close_code == 1000
    assert words(messages, ANNA) == "w1 w2"
    assert words(messages, BORIS) == ""


async def test_a_silent_speaker_gives_the_place_back_and_may_come_again() -> None:
    pool = MemoryPool(automatic=True)
    async with meeting(pool, Limits(idle_timeout_secs=0.3)) as (_, socket):
        for each in frames(ANNA, 1):
            await socket.send(each)
        await wait_until(lambda: pool.places.active == 1)

        async def keep_meeting() -> None:
            while pool.places.active:
                await socket.send(frame(BORIS, b""))
                await asyncio.sleep(0.02)

        await asyncio.wait_for(keep_meeting(), 60)
        for each in frames(ANNA, 2):
            await socket.send(each)
        await socket.send(END)
        assert words(await told(socket), ANNA) == "w1 w2"


async def test_a_server_that_stops_tells_the_words_so_far() -> None:
    pool = MemoryPool(automatic=True)
    async with meeting(pool) as (running, socket):
        for each in (*frames(ANNA, 1), *frames(BORIS, 4)):
            await socket.send(each)
        await wait_until(lambda: pool.metrics.accepted_samples >= 2 * len(speech((1,))))
        running.server.handle_exit(signal.SIGTERM, None)
        messages = await told(socket)
        assert socket.close_code == 1001
    assert (words(messages, ANNA), words(messages, BORIS)) == ("w1", "w4")


async def test_a_server_that_stops_closes_a_meeting_in_which_nobody_spoke() -> None:
    async with meeting(MemoryPool(automatic=True)) as (running, socket):
        running.server.handle_exit(signal.SIGTERM, None)
        assert await told(socket) == []
        assert socket.close_code == 1001


async def test_a_bridge_that_vanishes_leaves_nothing_behind() -> None:
    pool = MemoryPool(automatic=True)
    async with meeting(pool) as (running, socket):
        for each in (*frames(ANNA, 1), *frames(BORIS, 4)):
            await socket.send(each)
        await wait_until(lambda: pool.places.active == 2)
        socket.transport.abort()
        await wait_until(lambda: pool.places.active == 0 and not running.server.server_state.tasks)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (frame(ANNA, b"\1\2"), (ANNA, b"\1\2")),
        (frame("Анна", b""), ("Анна", b"")),
        (END, ("", b"")),
        (f"{'x' * 57}|r".encode(), None),
        (b"\xd0" * 60, None),
        ("text", None),
    ],
)
def test_a_frame_tells_whose_audio_it_has(data: str | bytes, expected: tuple[str, bytes] | None) -> None:
    assert read_frame(data) == expected
