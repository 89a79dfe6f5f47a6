"""Calls of Asterisk's chan_websocket: its first message says what comes, its text changes nothing else."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from gigastt.config import Limits
from gigastt.gateway.access.key_file import KeyLimits, add_key
from gigastt.gateway.api.asterisk import read_event
from tests.fakes.gateway import Running, serving
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.native import memory_context
from tests.fakes.pool import Fakes
from tests.fakes.scripted import speech
from tests.gateway.api.calls import follow
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

START = (
    "MEDIA_START connection_id:gigastt channel:WebSocket/gigastt/0x7f7f0c012480 channel_id:1795768294.3 "
    "format:slin16 optimal_frame_size:640 ptime:20"
)
START_IN_JSON = json.dumps(
    {
        "event": "MEDIA_START",
        "connection_id": "gigastt",
        "channel": "WebSocket/gigastt/0x7f7f0c012480",
        "channel_id": "1795768294.3",
        "format": "slin16",
        "optimal_frame_size": 640,
        "ptime": 20,
        "channel_variables": {},
    }
)


@asynccontextmanager
async def server(pool: MemoryPool | None = None) -> AsyncIterator[Running]:
    async with serving(memory_context(pool or MemoryPool(automatic=True))) as running:
        yield running


@asynccontextmanager
async def dial(running: Running, query: str = "") -> AsyncIterator[ClientConnection]:
    path = f"{running.ws}/v1/asterisk/ws{query}"
    async with connect(path, subprotocols=[Subprotocol("media")]) as socket:
        assert socket.subprotocol == "media"
        yield socket


async def events(running: Running, call: str) -> list[dict[str, Any]]:
    async with asyncio.timeout(60):
        return [event async for event in follow(running.http, call)]


def words(told: list[dict[str, Any]]) -> str:
    return " ".join(event["text"] for event in told if event["type"] == "final" and event["text"])


async def speak(socket: ClientConnection, *values: int) -> None:
    samples = speech(values).tobytes()
    for begin in range(0, len(samples), 640):
        await socket.send(samples[begin : begin + 640])


@pytest.mark.parametrize("start", [START, START_IN_JSON])
@pytest.mark.parametrize(("query", "call"), [("", "1795768294.3"), ("?session=Call-7", "call-7")])
async def test_a_call_is_told_under_its_id(start: str, query: str, call: str) -> None:
    async with server() as running, dial(running, query) as socket:
        await socket.send(start)
        await speak(socket, 1, 2)
        for text in (
            "DTMF_END digit:# channel_id:1795768294.3",
            "MEDIA_XOFF",
            "STATUS queue_length:43",
            "what is this",
        ):
            await socket.send(text)
        await speak(socket, 3)
        await socket.close()
        told = await events(running, call)
    assert words(told) == "w1 w2 w3"
    assert [event["digit"] for event in told if event["type"] == "dtmf"] == ["#"]
    assert told[-1]["type"] == "end"


async def test_asterisk_is_told_nothing_but_to_hang_up() -> None:
    pool = MemoryPool(automatic=True)
    async with server(pool) as running, dial(running) as socket:
        await socket.send(START)
        followed = follow(running.http, "1795768294.3")
        assert (await anext(followed))["type"] == "ready"
        await speak(socket, 1)
        await wait_until(lambda: pool.metrics.accepted_samples >= len(speech((1,))))
        running.server.handle_exit(signal.SIGTERM, None)
        told = [message async for message in socket]
        assert told == ["HANGUP"]
        assert socket.close_code == 1001
        assert words([event async for event in followed]) == "w1"


@pytest.mark.parametrize(
    ("first", "close_code"),
    [
        ("STATUS queue_length:43", 1002),
        ("{", 1002),
        (b"\0\0", 1002),
        ("MEDIA_START connection_id:a format:opus", 1003),
        ("MEDIA_START format:ulaw", 1003),
        ("MEDIA_START connection_id:a|b format:ulaw", 1003),
    ],
)
async def test_a_connection_that_does_not_say_what_comes_is_closed(first: str | bytes, close_code: int) -> None:
    async with server() as running, dial(running) as socket:
        await socket.send(first)
        async with asyncio.timeout(60):
            with pytest.raises(ConnectionClosed):
                await socket.recv()
        assert socket.close_code == close_code


@pytest.mark.parametrize(
    ("query", "first", "code"),
    [
        ("?session=call-7", "STATUS queue_length:43", "bad_request"),
        ("?session=call-7", "MEDIA_START channel_id:a format:opus", "invalid_parameter"),
        ("", "MEDIA_START channel_id:Call-7 format:opus", "invalid_parameter"),
    ],
)
async def test_those_who_wait_for_a_call_hear_that_it_was_refused(query: str, first: str, code: str) -> None:
    async with server() as running:
        following = asyncio.create_task(events(running, "call-7"))
        async with dial(running, query) as socket:
            await socket.send(first)
            told = await following
        assert [(event["type"], event.get("code"), event["last"]) for event in told] == [
            ("error", code, False),
            ("end", None, True),
        ]
        async with dial(running, "?session=call-7") as socket:  # the id is free for the next one
            await socket.send(START)
            await speak(socket, 1)
            await socket.close()
            assert words(await events(running, "call-7")) == "w1"


async def test_those_who_wait_hear_of_a_limit_before_the_upgrade() -> None:
    context = Fakes(pool=MemoryPool()).context(Limits(rate_limit_per_minute=1, rate_limit_burst=2))
    async with serving(context) as running:
        following = asyncio.create_task(events(running, "call-7"))
        await wait_until(lambda: context.feeds.is_awaited("call-7"))
        async with dial(running):
            pass
        with pytest.raises(InvalidStatus):
            async with dial(running, "?session=Call-7"):
                pass
        told = await following
    assert [(event["type"], event.get("code")) for event in told] == [("error", "rate_limited"), ("end", None)]
    assert told[0]["retry_after_ms"] > 1_000


@pytest.mark.parametrize("is_known", [True, False])
async def test_only_a_client_with_a_key_ends_what_others_wait_for(is_known: bool, tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys", "alice", KeyLimits(sessions=1))
    context = Fakes(pool=MemoryPool()).context(api_keys_file=tmp_path / "keys")
    assert context.api_keys is not None
    headers = {"authorization": f"Bearer {key if is_known else 'another'}"}
    async with serving(context) as running:
        following = asyncio.create_task(follow_with(running, "call-7", f"Bearer {key}"))
        await wait_until(lambda: context.feeds.is_awaited("call-7"))
        with context.api_keys.usages[0].session(), pytest.raises(InvalidStatus):
            await connect(f"{running.ws}/v1/asterisk/ws?session=call-7", additional_headers=headers)
        assert context.feeds.is_awaited("call-7") != is_known
        if is_known:
            assert [event.get("code") for event in await following] == ["quota_exceeded", None]
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def follow_with(running: Running, call: str, authorization: str) -> list[dict[str, Any]]:
    return [event async for event in follow(running.http, call, authorization=authorization)]


async def test_a_wrong_id_in_the_url_is_refused_before_the_upgrade() -> None:
    async with server() as running:
        with pytest.raises(InvalidStatus) as refused:
            async with dial(running, "?session=a%20b"):
                pass
    assert refused.value.response.status_code == 400


def test_an_event_is_read_however_it_is_written() -> None:
    assert read_event(START)[1]["format"] == read_event(START_IN_JSON)[1]["format"] == "slin16"
    assert read_event("") == ("", {})
    assert read_event("{}") == ("", {})
