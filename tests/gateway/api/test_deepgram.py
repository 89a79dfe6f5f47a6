"""The dialect of Deepgram through a real server and real sockets, over workers in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from tests.asyncapi import check_message
from tests.fakes.gateway import http_client, serving
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.native import Client, memory_context, server
from tests.fakes.pool import Fakes, FakeTranscriber, final
from tests.fakes.scripted import POISON
from tests.gateway.api.test_description import DOCUMENT

pytestmark = pytest.mark.slow

PATH = "/v1/listen"


@asynccontextmanager
async def session(query: str = "") -> AsyncIterator[Client]:
    async with server(MemoryPool(automatic=True)) as running, connect(f"{running.ws}{PATH}?{query}") as socket:
        yield Client(socket)


async def close(client: Client) -> list[dict[str, Any]]:
    """Send `CloseStream`, read to the end, and return the final results."""
    await client.socket.send('{"type":"CloseStream"}')
    assert await client.read_to_close() == 1000
    assert client.messages[-1]["type"] == "Metadata"
    for message in client.messages:
        check_message("deepgram", message)
    return [result for result in client.of("Results") if result["is_final"]]


def said(result: dict[str, Any]) -> str:
    text: str = result["channel"]["alternatives"][0]["transcript"]
    return text


async def test_utterances_are_results_and_the_end_is_metadata() -> None:
    async with session() as client:
        await client.speak(1, 2, 0, 3)
        results = await close(client)
    assert [said(result) for result in results] == ["w1 w2", "w3"]
    assert all(result["speech_final"] and not result["from_finalize"] for result in results)
    assert {message["type"] for message in client.messages} == {"Results", "Metadata"}
    assert len(client.of("Results")) == 2


async def test_events_and_interim_results_are_told_where_they_are_asked_for() -> None:
    async with session("interim_results=true&vad_events=true&utterance_end_ms=1000&endpointing=300") as client:
        await client.speak(1, 2, 0)
        end = await client.receive("UtteranceEnd")
        results = await close(client)
    assert client.messages[0]["type"] == "SpeechStarted"
    assert end == {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": end["last_word_end"]}
    assert [said(result) for result in results] == ["w1 w2"]
    assert results[0]["channel"]["alternatives"][0]["words"][-1]["end"] == end["last_word_end"]


async def test_finalize_ends_the_utterance_and_the_session_goes_on() -> None:
    async with session() as client:
        await client.socket.send('{"type":"Finalize"}')
        assert (await client.receive("Results"))["from_finalize"]
        await client.speak(1)
        await client.socket.send('{"type":"KeepAlive"}')
        await client.socket.send('{"type":"Finalize"}')
        assert said(await client.receive("Results")) == "w1"
        await client.speak(2)
        assert said((await close(client))[-1]) == "w2"


async def test_channels_are_told_apart() -> None:
    async with session("channels=2&multichannel=true") as client:
        await client.speak(1, 1, 2, 2)
        results = await close(client)
    assert {tuple(result["channel_index"]) for result in results} <= {(0, 2), (1, 2)}
    assert client.messages[-1]["channels"] == 2


async def test_faults_are_errors() -> None:
    async with session() as client:
        for message in ("hello", '{"type":"Configure"}', "[1]"):
            await client.socket.send(message)
            assert (await client.receive("Error"))["variant"] == "invalid_message"
        await client.speak(1, 0, POISON, 0, 2)
        await close(client)
    assert client.of("Error")[-1]["variant"] == "segment_failed"


@pytest.mark.parametrize(
    "query",
    ["encoding=opus", "sample_rate=1", "sample_rate=x", "channels=9", "language=en", "punctuate=2", "endpointing=-1"],
)
async def test_a_query_that_is_wrong_is_refused_by_name(query: str) -> None:
    async with server(MemoryPool(automatic=True)) as running:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{running.ws}{PATH}?{query}")
    assert refused.value.response.status_code == 400
    assert json.loads(refused.value.response.body)["error"].startswith(query.partition("=")[0])


async def test_parameters_of_other_models_change_nothing() -> None:
    others = "model=nova-3&keyterm=a&keyterm=b&tag=x&language=multi&diarize=true&endpointing=false"
    async with session(others) as client:
        await client.speak(1)
        assert [said(result) for result in await close(client)] == ["w1"]


async def test_keys_are_tokens_in_a_header_and_among_the_subprotocols(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("secret-key-1\n")
    context = Fakes(pool=memory_context(MemoryPool(automatic=True)).pool).context(api_keys_file=tmp_path / "keys")  # type: ignore[arg-type]
    async with serving(context) as running:
        with pytest.raises(InvalidStatus):
            await connect(f"{running.ws}{PATH}", additional_headers={"Authorization": "Token wrong-key"})
        async with connect(f"{running.ws}{PATH}", additional_headers={"Authorization": "Token secret-key-1"}):
            pass
        protocols = [Subprotocol("token"), Subprotocol("secret-key-1")]
        async with connect(f"{running.ws}{PATH}", subprotocols=protocols) as socket:
            assert socket.subprotocol == "token"


async def test_files_have_the_shape_that_is_described() -> None:
    async with http_client(Fakes().context()) as client:
        answer = (await client.post(f"{PATH}?punctuate=true", content=b"\0" * 6400)).json()
        native = (await client.post("/v1/transcribe", content=b"\0" * 6400)).json()
        assert (await client.post(f"{PATH}?language=en", content=b"\0" * 6400)).status_code == 400
        assert (await client.get(PATH)).status_code == 426
    described = {"$ref": "#/components/schemas/DeepgramTranscript", "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(described).validate(answer)
    assert answer["results"]["channels"][0]["alternatives"][0]["transcript"] == native["text"]


async def test_the_channels_of_a_file_are_told_by_themselves() -> None:
    said = [final("Раз."), replace(final("Два.", 1), channel=1), final("", 2, "stop")]
    fakes = Fakes(transcriber=FakeTranscriber(said))
    fakes.decoder.copies = (None, None, 0)
    async with http_client(fakes.context()) as client:
        answer = (await client.post(f"{PATH}?multichannel=true&punctuate=true", content=b"\0" * 6400)).json()
    told = [channel["alternatives"][0]["transcript"] for channel in answer["results"]["channels"]]
    assert (answer["metadata"]["channels"], told) == (3, ["Раз.", "Два.", "Раз."])
