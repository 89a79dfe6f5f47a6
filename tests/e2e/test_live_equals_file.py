"""A live stream ends as the file of the same samples does: at every rate, however cut, whoever else is there."""

from __future__ import annotations

import asyncio
import itertools
from functools import partial
from typing import Any

import pytest

from tests.clips import load_clips
from tests.live_client import LiveClient, live_client, transcribe_live
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


@pytest.mark.parametrize("rate", [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000])
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
    async with live_client(server.websocket_url) as client:
        await client.configure(sample_rate=8_000)
        await client.stream(pcm[:5_001], chunk_bytes=1)  # more would take long: frames of a byte are slowed down
        await client.stream(pcm[5_001:], chunk_bytes=999)
        await client.stop()
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


@pytest.mark.parametrize("partials", [True, False])
async def test_pauses_in_sending_change_nothing_and_nobody_waits_for_words(
    server: ServerProcess, partials: bool
) -> None:
    pcm, pauses = LONG.pcm, (50_000, 81_234, 200_002, len(LONG.pcm))
    async with live_client(server.websocket_url) as client:
        await client.configure(sample_rate=16_000, partials=partials)
        for begin, end in itertools.pairwise((0, *pauses)):
            await client.stream(pcm[begin:end])
            so_far = (await upload(server, pcm[:end], 16_000))["text"]
            await client.wait_for(partial(shows, so_far))
            assert client.messages[-1]["type"] == "final" or client.messages[-1]["as_final"]
        await client.stop()
    assert segments(client) == (await upload(server, pcm, 16_000))["segments"]


def shows(text: str, client: LiveClient) -> bool:
    """Tell whether the finals, and what came after them to be taken for one, say this."""
    last = client.messages[-1]
    return " ".join(filter(None, [client.text, last["text"] if last.get("as_final") else ""])) == text


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
async def test_a_flush_makes_two_recordings_of_one(server: ServerProcess, rate: int) -> None:
    first, second = (pcm_at(rate, clip.pcm) for clip in (SHORT, LONG))
    async with live_client(server.websocket_url) as client:
        await client.configure(sample_rate=rate)
        await client.stream(first)
        await client.send(type="flush")
        await client.stream(second)
        await client.stop()
    texts = [(await upload(server, pcm, rate))["text"] for pcm in (first, second)]
    assert client.text == " ".join(texts)
    assert client.of("final")[0]["endpoint_reason"] == "flush"
    assert client.finals[1]["start"] >= len(first) / rate / 2 - 0.04


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
