"""The Wyoming protocol's own client, unmodified, hears what `POST /v1/transcribe` says."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator

import pytest
from wyoming.asr import Transcribe, Transcript, TranscriptChunk, TranscriptStop
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient, AsyncTcpClient
from wyoming.info import Describe, Info

from tests.clips import Clip, load_clips
from tests.server import ServerProcess

AUDIO = {"rate": 16_000, "width": 2, "channels": 1}


@pytest.fixture(scope="module")
def wyoming() -> Iterator[ServerProcess]:
    with ServerProcess("--pool-size", "2", "--wyoming", "127.0.0.1:0") as running:
        yield running


def address(server: ServerProcess) -> str:
    [listening] = server.logged("wyoming_listening")
    return f"tcp://{listening['host']}:{listening['port']}"


def by_file(server: ServerProcess, clip: Clip) -> str:
    text: str = server.post("/v1/transcribe", clip.path.read_bytes()).json()["text"]
    return text


async def transcribe(
    uri: str, clip: Clip, milliseconds: int, in_the_middle: Callable[[], None] = lambda: None
) -> tuple[str, str]:
    """Return what a client hears as it speaks, and at the end."""
    size, chunks = 32 * milliseconds, list[str]()
    async with AsyncClient.from_uri(uri, read_timeout=60) as client:
        await client.write_event(Transcribe(language="ru").event())
        await client.write_event(AudioStart(**AUDIO).event())
        for begin in range(0, len(clip.pcm), size):
            if begin <= len(clip.pcm) // 2 < begin + size:
                in_the_middle()
            await client.write_event(AudioChunk(**AUDIO, audio=clip.pcm[begin : begin + size]).event())
        await client.write_event(AudioStop().event())
        text = ""
        while (event := await client.read_event()) is not None and not TranscriptStop.is_type(event.type):
            if TranscriptChunk.is_type(event.type):
                chunks.append(TranscriptChunk.from_event(event).text)
            elif Transcript.is_type(event.type):
                text = Transcript.from_event(event).text
    return "".join(chunks), text


@pytest.mark.parametrize("milliseconds", [20, 1000])
@pytest.mark.parametrize("clip", load_clips(), ids=lambda clip: clip.path.stem)
async def test_the_words_are_those_of_the_file(wyoming: ServerProcess, clip: Clip, milliseconds: int) -> None:
    chunks, text = await transcribe(address(wyoming), clip, milliseconds)
    assert chunks == text == by_file(wyoming, clip)


async def test_a_worker_killed_in_the_middle_is_not_noticed(wyoming: ServerProcess) -> None:
    def kill() -> None:
        for pid in wyoming.worker_pids():
            os.kill(pid, signal.SIGKILL)

    clip = load_clips()[0]
    chunks, text = await transcribe(address(wyoming), clip, 200, kill)
    assert chunks == text == by_file(wyoming, clip)


async def test_the_server_says_what_it_offers_and_where(wyoming: ServerProcess) -> None:
    async with asyncio.timeout(30), AsyncClient.from_uri(address(wyoming)) as client:
        await client.write_event(Describe().event())
        event = await client.read_event()
    assert event is not None
    [program] = Info.from_event(event).asr
    assert (program.name, program.installed, program.models[0].name) == ("gigastt", True, "demo")
    [listening] = wyoming.get("/v1/models").json()["listeners"]
    assert address(wyoming) == f"tcp://{listening['host']}:{listening['port']}"
    assert listening["protocol"] == "wyoming"


async def test_the_exchange_of_home_assistant(wyoming: ServerProcess) -> None:
    """What `homeassistant.components.wyoming` of Home Assistant 2024.3.3 sent, byte for byte."""
    clip = load_clips()[0]
    form = b'{"rate": 16000, "width": 2, "channels": 1, "timestamp": null}'
    spoken = b'{"type": "transcribe", "version": "1.5.3", "data_length": 18}\n{"language": "ru"}'
    spoken += b'{"type": "audio-start", "version": "1.5.3", "data_length": 61}\n' + form
    empty = spoken
    for begin in range(0, len(clip.pcm), 2048):
        samples = clip.pcm[begin : begin + 2048]
        header = b'{"type": "audio-chunk", "version": "1.5.3", "data_length": 61, "payload_length": %d}\n'
        spoken += header % len(samples) + form + samples
    end = b'{"type": "audio-stop", "version": "1.5.3", "data_length": 19}\n{"timestamp": null}'
    asked = {"info": b'{"type": "describe", "version": "1.5.3"}\n', "spoken": spoken + end, "empty": empty + end}
    told: dict[str, str] = {}
    for name, request in asked.items():
        async with AsyncClient.from_uri(address(wyoming), read_timeout=60) as client:
            assert isinstance(client, AsyncTcpClient)
            assert client._writer is not None
            client._writer.write(request)
            while (event := await client.read_event()) is not None:
                if Transcript.is_type(event.type) or Info.is_type(event.type):
                    told[name] = event.data.get("text", event.type)
                    break
    assert told == {"info": "info", "spoken": by_file(wyoming, clip), "empty": ""}
