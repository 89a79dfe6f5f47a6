"""Uploads: the transcript, the limits, and what is given back when something goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from gigastt.audio.selection import Selection
from gigastt.config import Limits
from gigastt.errors import AudioTooLong, CapacityTimeout, InvalidAudio
from gigastt.gateway.pool.events import Event
from gigastt.transcript import Gap, HeardTrack, Word
from tests.fakes.gateway import serving
from tests.fakes.pool import Fakes, FakeTranscriber, final
from tests.fakes.uploads import PATH, assert_given_back, forever, memory_files, post
from tests.waiting import wait_until


async def test_finals_become_one_transcript() -> None:
    events = [final("Раз, два."), final("", 1), final("Три.", 2, start=1.0), final("", 3, "stop")]
    fakes = Fakes(transcriber=FakeTranscriber(events))
    response = await post(fakes.context())
    assert response.status_code == 200
    body = response.json()
    assert body["text"] == "Раз, два. Три."
    assert body["duration"] == 2.0
    assert body["words"][2] == {"word": "Три.", "start": 1.0, "end": 1.4, "confidence": 0.9}
    assert [segment["text"] for segment in body["segments"]] == ["Раз, два.", "Три."]
    assert body["segments"][0].keys() == {"text", "start", "end", "confidence", "words"}
    assert "failed" not in body
    assert "Раз" in response.text
    assert_given_back(fakes)


async def test_the_body_is_taken_as_it_is_whatever_its_type() -> None:
    fakes = Fakes()
    for kind in ("audio/wav", "multipart/form-data; boundary=x", "application/json", ""):
        await post(fakes.context(), b"RIFFxxxx", headers={"content-type": kind})
    assert fakes.decoder.bodies == [b"RIFFxxxx"] * 4


async def test_a_body_in_pieces_is_put_together() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(100):
            yield bytes([number]) * 1000

    fakes = Fakes()
    assert (await post(fakes.context(), pieces())).status_code == 200
    assert fakes.decoder.bodies == [b"".join(bytes([number]) * 1000 for number in range(100))]


async def test_spans_without_words_are_declared() -> None:
    events: list[Event] = [Gap("inference_error", 1.0, 2.0), Gap("segment_failed", 3.0, 4.0), final("", 0, "stop")]
    body = (await post(Fakes(transcriber=FakeTranscriber(events)).context())).json()
    assert body["failed"] == [
        {"code": "inference_error", "start": 1.0, "end": 2.0},
        {"code": "segment_failed", "start": 3.0, "end": 4.0},
    ]


async def test_channels_and_track_are_told_where_they_are_asked_for() -> None:
    said = [final("Раз."), replace(final("Два.", 1, start=1.0), channel=1), final("", 2, "stop")]
    fakes = Fakes(transcriber=FakeTranscriber(said))
    fakes.decoder.copies, fakes.decoder.track = (None, 0, None), HeardTrack(1, 2, "rus")
    body = (await post(fakes.context(), path=f"{PATH}?channels=split&track=rus")).json()
    assert fakes.decoder.selections == [Selection("rus", 0), Selection("rus", 2)]
    assert [segment["channel"] for segment in body["segments"]] == [0, 2]
    assert body["channels"][1] == {"channel": 1, "copy_of": 0}
    assert body["track"] == {"number": 1, "of": 2, "language": "rus"}
    text = (await post(fakes.context(), path=f"{PATH}?channels=split&format=text")).text
    assert text == "[0] Раз.\n[2] Два.\n"
    blocks = (await post(fakes.context(), path=f"{PATH}/stream?channels=split")).text.split("\n\n")
    events = [json.loads(block.removeprefix("data: ")) for block in blocks if "{" in block]
    assert [event["channel"] for event in events] == [0, 2, 0]
    assert_given_back(fakes)


@pytest.mark.parametrize("query", ["channels=2", "track=-1"])
async def test_a_query_that_is_wrong_is_refused(query: str) -> None:
    for path in (PATH, f"{PATH}/stream"):
        refused = await post(Fakes().context(), path=f"{path}?{query}")
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter")


async def test_what_is_left_out_is_told_only_on_request() -> None:
    left_out = replace(final("", 0), drop="doubtful", dropped=(Word("ту", 1.0, 1.4, 0.3),))
    fakes = Fakes(transcriber=FakeTranscriber([left_out, final("да", 1, "stop")]))
    assert "dropped" not in (await post(fakes.context())).json()
    body = (await post(fakes.context(), path=f"{PATH}?dropped=true")).json()
    words = [{"word": "ту", "start": 1.0, "end": 1.4, "confidence": 0.3}]
    assert body["dropped"] == [{"reason": "doubtful", "start": left_out.start, "end": left_out.end, "words": words}]


async def test_holes_in_a_file_are_declared_before_anything_comes_out_of_it() -> None:
    fakes = Fakes(transcriber=FakeTranscriber([final("да", 0, "stop")]))
    fakes.decoder.holes = (Gap("audio_damaged", 1.0, 2.0), Gap("audio_missing", 3.0, 4.0))

    assert (await post(fakes.context())).json()["failed"] == [
        {"code": "audio_damaged", "start": 1.0, "end": 2.0},
        {"code": "audio_missing", "start": 3.0, "end": 4.0},
    ]
    blocks = [line for line in (await post(fakes.context(), path=f"{PATH}/stream")).text.split("\n\n") if "{" in line]
    assert [json.loads(block.removeprefix("data: ")).get("code") for block in blocks] == [
        "audio_damaged",
        "audio_missing",
        None,
    ]


@pytest.mark.parametrize("path", [PATH, f"{PATH}/stream"])
@pytest.mark.parametrize(
    ("body", "error", "status", "code"),
    [
        (b"", None, 400, "empty_body"),
        (b"x" * 101, None, 413, "payload_too_large"),
        (b"x", InvalidAudio("This is not audio."), 422, "invalid_audio"),
        (b"x", AudioTooLong("The audio is longer than this server takes."), 413, "audio_too_long"),
        (b"x", CapacityTimeout("No room.", retry_after_ms=5000), 503, "timeout"),
        (b"x", OSError("/dev/shm"), 500, "internal"),
    ],
)
async def test_refusals_are_ordinary_errors(
    path: str, body: bytes, error: Exception | None, status: int, code: str
) -> None:
    fakes = Fakes()
    fakes.decoder.error = error
    response = await post(fakes.context(Limits(body_limit_bytes=100)), body, path)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers.get("retry-after") == ("5" if status == 503 else None)
    assert_given_back(fakes)


async def test_a_body_that_grows_beyond_the_limit_is_refused_before_its_end() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 1000

    fakes = Fakes()
    response = await post(fakes.context(Limits(body_limit_bytes=10_000)), endless())
    assert response.status_code == 413
    assert sent <= 12
    assert not fakes.decoder.bodies
    assert_given_back(fakes)


async def test_no_place_in_time_is_a_timeout_with_retry_after() -> None:
    fakes = Fakes()
    fakes.pool.uploads.resize(0)  # no worker is ready
    response = await post(fakes.context(Limits(pool_checkout_timeout_secs=0.02)))
    assert (response.status_code, response.json()["code"]) == (503, "timeout")
    assert response.json()["retry_after_ms"] == 5_000
    assert response.headers["retry-after"] == "5"
    assert memory_files() == 0


async def test_live_sessions_in_every_place_leave_uploads_theirs() -> None:
    fakes = Fakes()
    async with fakes.pool.full():
        response = await post(fakes.context(Limits(pool_checkout_timeout_secs=0.02)))
    assert response.status_code == 200


async def test_a_draining_server_refuses() -> None:
    fakes = Fakes()
    fakes.pool.begin_drain()
    response = await post(fakes.context())
    assert (response.status_code, response.json()["code"]) == (503, "shutting_down")
    assert "retry-after" in response.headers


@pytest.mark.slow  # the server takes a look every two seconds whether a client that has closed its side is there
@pytest.mark.parametrize("path", [PATH, f"{PATH}/stream"])
async def test_hanging_up_gives_everything_back(path: str) -> None:
    fakes = Fakes(transcriber=FakeTranscriber(forever))
    context = fakes.context()
    async with serving(context) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nabcd".encode())
        await wait_until(lambda: fakes.transcriber.request_ids)
        writer.close()
        await wait_until(lambda: fakes.transcriber.closed)
        await wait_until(lambda: not running.server.server_state.tasks)
        assert_given_back(fakes)
        del reader


@pytest.mark.slow
async def test_hanging_up_in_the_middle_of_the_body_gives_everything_back() -> None:
    fakes = Fakes()
    async with serving(fakes.context()) as running:
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"POST /v1/transcribe HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40000\r\n\r\n")
        writer.write(b"x" * 20_000)
        await wait_until(lambda: memory_files() == 1)
        writer.close()
        await wait_until(lambda: memory_files() == 0)
    assert not fakes.decoder.bodies


@pytest.mark.slow
async def test_an_announced_body_over_the_limit_is_refused_before_it_is_sent() -> None:
    fakes = Fakes()
    async with serving(fakes.context(Limits(body_limit_bytes=1000))) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(
            b"POST /v1/transcribe HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n"
        )
        assert (await reader.readline()).split()[1] == b"413"
        writer.close()
        async with httpx.AsyncClient(base_url=running.http) as client:
            assert (await client.post(PATH, content=b"fine")).status_code == 200


@pytest.mark.slow
async def test_a_client_that_sends_too_much_still_reads_its_answer() -> None:
    async with (
        serving(Fakes().context(Limits(body_limit_bytes=1000))) as running,
        httpx.AsyncClient(base_url=running.http) as client,
    ):
        response = await client.post(PATH, content=b"x" * 5_000_000)
        assert response.json()["code"] == "payload_too_large"
