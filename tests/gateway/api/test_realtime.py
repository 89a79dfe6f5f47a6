"""The Realtime dialect through a real server and real sockets, over workers in memory."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from gigastt.config import Limits
from tests.asyncapi import check_message
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.native import Client, server
from tests.fakes.scripted import POISON, speech

pytestmark = pytest.mark.slow

PATH = "/v1/realtime"
COMPLETED = "conversation.item.input_audio_transcription.completed"


class RealtimeClient(Client):
    """A client of the Realtime API; what it is told is checked against docs/asyncapi.yaml."""

    async def receive(self, kind: str) -> dict[str, Any]:
        told = len(self.messages)
        message = await super().receive(kind)
        for each in self.messages[told:]:
            check_message("realtime", each)
        return message

    async def say(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def update(self, **source: Any) -> dict[str, Any]:
        await self.say("session.update", session={"type": "transcription", "audio": {"input": source}})
        return await self.receive("session.updated")

    async def append(self, values: Sequence[int]) -> None:
        audio = base64.b64encode(speech(values).tobytes()).decode()
        await self.say("input_audio_buffer.append", audio=audio)


@asynccontextmanager
async def session(limits: Limits | None = None, **options: Any) -> AsyncIterator[RealtimeClient]:
    """A session at 16 kHz whose server finds the turns."""
    async with (
        server(MemoryPool(automatic=True), limits) as running,
        connect(f"{running.ws}{PATH}", **options) as socket,
    ):
        client = RealtimeClient(socket)
        await client.receive("session.created")
        await client.update(format={"type": "audio/pcm", "rate": 16_000})
        yield client


async def refuse(client: RealtimeClient, kind: str, **fields: Any) -> dict[str, Any]:
    await client.say(kind, **fields)
    error: dict[str, Any] = (await client.receive("error"))["error"]
    assert error["type"] == "invalid_request_error"
    return error


async def test_utterances_become_items() -> None:
    async with session() as client:
        await client.append([1, 2, 0, 3, 0])
        assert (await client.receive(COMPLETED))["transcript"] == "w1 w2"
        assert (await client.receive(COMPLETED))["transcript"] == "w3"
        assert client.of("error") == []


async def test_commits_end_items_where_turns_are_the_clients() -> None:
    async with session() as client:
        await client.update(turn_detection=None)
        await client.append([1, 0, 2])
        await client.say("input_audio_buffer.commit")
        assert (await client.receive(COMPLETED))["transcript"] == "w1 w2"
        assert client.of("input_audio_buffer.speech_started") == []


async def test_a_commit_of_nothing_is_an_item_of_nothing_and_no_error() -> None:
    async with session() as client:
        for _ in range(3):
            await client.say("input_audio_buffer.commit")
            assert (await client.receive(COMPLETED))["transcript"] == ""
        assert client.of("error") == []


async def test_what_was_cleared_is_not_transcribed() -> None:
    async with session() as client:
        await client.update(turn_detection=None)
        await client.append([1])
        await client.say("input_audio_buffer.clear")
        await client.append([2])
        await client.say("input_audio_buffer.commit")
        assert (await client.receive(COMPLETED))["transcript"] == "w2"


async def test_events_that_cannot_be_carried_out_are_told_by_their_id_and_the_session_goes_on() -> None:
    async with session() as client:
        error = await refuse(client, "response.create", event_id="mine")
        assert (error["event_id"], error["param"]) == ("mine", "type")
        assert (await refuse(client, "input_audio_buffer.append", audio="&"))["param"] == "audio"
        assert (await refuse(client, "input_audio_buffer.append"))["param"] == "audio"
        await refuse(client, "session.update", session=[])
        await client.socket.send("[]")
        await client.receive("error")
        await client.append([1, 0])
        assert (await client.receive(COMPLETED))["transcript"] == "w1"


async def test_the_format_stays_once_audio_has_come_and_turns_may_change() -> None:
    async with session() as client:
        await client.append([1])
        format_ = {"format": {"type": "audio/pcmu"}}
        assert (await refuse(client, "session.update", session={"audio": {"input": format_}}))["param"] == "session"
        updated = await client.update(turn_detection={"type": "server_vad", "silence_duration_ms": 300})
        assert updated["session"]["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 600
        updated = await client.update(format={"type": "audio/pcm", "rate": 16_000}, turn_detection=None)
        assert updated["session"]["audio"]["input"]["turn_detection"] is None


async def test_json_in_binary_frames_is_understood() -> None:
    async with session() as client:
        await client.socket.send(json.dumps({"type": "input_audio_buffer.commit"}).encode())
        await client.receive(COMPLETED)


@pytest.mark.parametrize(
    "options",
    [
        {"additional_headers": {"OpenAI-Beta": "realtime=v1"}},
        {"subprotocols": [Subprotocol("realtime"), Subprotocol("openai-beta.realtime-v1")]},
    ],
)
async def test_a_client_of_the_beta_is_answered_in_its_shape(options: dict[str, Any]) -> None:
    async with (
        server(MemoryPool(automatic=True)) as running,
        connect(f"{running.ws}{PATH}?intent=transcription", **options) as socket,
    ):
        client = RealtimeClient(socket)
        created = await client.receive("transcription_session.created")
        assert created["session"]["input_audio_format"] == "pcm16"
        await client.say("transcription_session.update", session={"turn_detection": None})
        await client.receive("transcription_session.updated")
        await client.say("input_audio_buffer.commit")
        await client.receive(COMPLETED)
        assert len(client.of("conversation.item.created")) == 1


async def test_a_part_without_words_fails_and_its_item_is_completed() -> None:
    async with session() as client:
        await client.append([POISON])
        failed = await client.receive("conversation.item.input_audio_transcription.failed")
        assert failed["error"]["code"] == "segment_failed"
        await client.append([2, 0])
        assert (await client.receive(COMPLETED))["transcript"] == "w2"


async def test_the_end_of_a_session_completes_its_item_and_says_why() -> None:
    async with session(Limits(max_session_secs=0.5)) as client:
        await client.append([1, 2])
        assert (await client.receive("error"))["error"]["code"] == "max_session_duration_exceeded"
        assert (await client.receive(COMPLETED))["transcript"] == "w1 w2"
        assert await client.read_to_close() == 1008


async def test_many_events_that_mean_nothing_end_the_session() -> None:
    async with session() as client:
        for _ in range(101):
            await client.say("x" * 200)
        assert await client.read_to_close() == 1008
        assert client.messages[-1]["error"]["code"] == "policy_violation"
