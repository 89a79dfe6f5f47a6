"""A live stream ends as the file of the same samples does: at every rate, however cut, whoever else is there."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from tests.clips import load_clips
from tests.live_client import LiveClient, transcribe_live
from tests.server import ServerProcess
from tests.wave_files import encode, resample, wave_file

CLIPS = {clip.path.stem: clip for clip in load_clips()}
LONG, SHORT = CLIPS["festival_11"], CLIPS["espeak_03"]
FRAME_SECONDS = (0.02, 0.1, 1.0)
LARGEST_FRAME = 524_288


def segments(client: LiveClient) -> list[dict[str, Any]]:
    fields = ("text", "words", "start", "end", "confidence")
    return [{name: final[name] for name in fields} for final in client.finals]


async def upload(server: ServerProcess, pcm: bytes, rate: int) -> dict[str, Any]:
    response = await asyncio.to_thread(server.post, "/v1/transcribe", wave_file(pcm, rate))
    assert response.status_code == 200
    answer: dict[str, Any] = response.json()
    return answer


def pcm_at(rate: int, pcm: bytes) -> bytes:
    return pcm if rate == 16_000 else encode(resample(pcm, rate), "pcm_s16le")


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100, 48_000])
async def test_every_way_of_cutting_ends_as_the_file_does(server: ServerProcess, rate: int) -> None:
    pcm = pcm_at(rate, LONG.pcm)
    sizes = [2 * round(rate * seconds) for seconds in FRAME_SECONDS] + [4_567, LARGEST_FRAME]
    answer, again, *streams = await asyncio.gather(
        upload(server, pcm, rate),
        upload(server, pcm, rate),
        *(transcribe_live(server.websocket_url, pcm, rate=rate, chunk_bytes=size) for size in sizes),
    )
    assert len(answer["segments"]) > 1
    assert again == answer
    for client in streams:
        assert client.of("error") == []
        assert segments(client) == answer["segments"]
        assert client.text == answer["text"]


async def test_single_bytes_end_as_the_file_does(server: ServerProcess) -> None:
    pcm = pcm_at(8_000, SHORT.pcm)
    client = await transcribe_live(server.websocket_url, pcm, rate=8_000, chunk_bytes=1)
    assert segments(client) == (await upload(server, pcm, 8_000))["segments"] != []


@pytest.mark.parametrize("silence_ms", [200, 1_500])
async def test_the_end_of_an_utterance_is_the_clients_choice_and_changes_no_word(
    server: ServerProcess, silence_ms: int
) -> None:
    usual = await upload(server, LONG.pcm, 16_000)
    sizes = (640, 32_000, LARGEST_FRAME)
    streams = await asyncio.gather(
        *(
            transcribe_live(server.websocket_url, LONG.pcm, chunk_bytes=size, endpoint_silence_ms=silence_ms)
            for size in sizes
        )
    )
    assert all(segments(client) == segments(streams[0]) for client in streams)
    assert streams[0].text.lower().split()[:4] == usual["text"].lower().split()[:4]


async def test_many_streams_amid_uploads_end_as_their_files_do(server: ServerProcess) -> None:
    clips = list(CLIPS.values())
    answers = [await upload(server, clip.pcm, 16_000) for clip in clips]
    ways = list(itertools.islice(zip(itertools.cycle(range(len(clips))), itertools.cycle((640, 3_200, 32_000))), 16))
    uploading = [asyncio.create_task(upload(server, clip.pcm, 16_000)) for clip in clips]
    streams = await asyncio.gather(
        *(transcribe_live(server.websocket_url, clips[i].pcm, chunk_bytes=size) for i, size in ways)
    )
    assert [await task for task in uploading] == answers
    for (i, _), client in zip(ways, streams, strict=True):
        assert segments(client) == answers[i]["segments"]
