"""One transcript: file, live stream and command line say the same, to the word and the hundredth of a second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jiwer
import pytest

from tests.clips import CLIPS, Clip, load_clips, normalise
from tests.live_client import LiveClient, transcribe_live
from tests.server import ServerProcess, run_program
from tests.shared import require_shared

SHIPPED = load_clips()


def by_file(server: ServerProcess, clip: Clip) -> dict[str, Any]:
    response = server.post("/v1/transcribe", clip.path.read_bytes())
    assert response.status_code == 200
    answer: dict[str, Any] = response.json()
    return answer


def by_command(clips: list[Clip]) -> list[dict[str, Any]]:
    done = run_program(["transcribe", "--model", "demo", "--format", "json", *(str(clip.path) for clip in clips)])
    assert done.returncode == 0
    return [json.loads(line) for line in done.stdout.splitlines()]


def live_segments(client: LiveClient) -> list[dict[str, Any]]:
    fields = ("text", "words", "start", "end", "confidence")
    return [{name: final[name] for name in fields} for final in client.finals]


@pytest.mark.parametrize("clip", SHIPPED, ids=lambda clip: clip.path.stem)
async def test_a_live_stream_ends_as_the_file(server: ServerProcess, clip: Clip) -> None:
    answer = by_file(server, clip)
    client = await transcribe_live(server.websocket_url, clip.pcm)
    assert client.close_code == 1000
    assert live_segments(client) == answer["segments"]
    assert client.text == answer["text"]
    assert [final["seq"] for final in client.of("final")] == list(range(len(client.of("final"))))
    assert client.of("final")[-1]["endpoint_reason"] == "stop"


@pytest.mark.parametrize("chunk_bytes", [333, 3200, 524_288])
async def test_the_way_of_cutting_changes_nothing(server: ServerProcess, chunk_bytes: int) -> None:
    clip = SHIPPED[1]
    client = await transcribe_live(server.websocket_url, clip.pcm, chunk_bytes=chunk_bytes)
    assert live_segments(client) == by_file(server, clip)["segments"]


def test_the_command_line_gives_the_servers_answer(server: ServerProcess) -> None:
    answers = by_command(SHIPPED)
    for clip, answer in zip(SHIPPED, answers, strict=True):
        assert answer.pop("file") == str(clip.path)
        assert answer == by_file(server, clip)


def test_words_lie_within_their_segments_and_the_file(server: ServerProcess) -> None:
    answer = by_file(server, SHIPPED[2])
    assert len(answer["segments"]) > 1
    for segment in answer["segments"]:
        times = [time for word in segment["words"] for time in (word["start"], word["end"])]
        assert times == sorted(times)
        assert segment["start"] <= times[0]
        assert times[-1] <= segment["end"]
        assert all(0 < word["confidence"] <= 1 for word in segment["words"])
    assert answer["segments"][-1]["end"] <= answer["duration"]


async def test_speech_at_the_first_sample_keeps_its_first_word(server: ServerProcess) -> None:
    clip = Clip(require_shared("cases/speech_at_sample_0_espeak_18.wav"), "")
    answer = by_file(server, clip)
    assert answer["text"] == "Это случилось в тысяча восемьсот тридцать пятом году."
    assert answer["words"][0]["start"] >= 0
    client = await transcribe_live(server.websocket_url, clip.pcm)
    assert live_segments(client) == answer["segments"]
    partials = [partial["text"].split()[0] for partial in client.of("partial") if len(partial["words"]) > 1]
    assert set(partials) == {"Это"}


async def test_word_error_rate_is_the_same_by_every_way_in(server: ServerProcess) -> None:
    clips = load_clips(require_shared("models/mini/test"))
    references = [normalise(clip.reference) for clip in clips]
    by_rest = [normalise(by_file(server, clip)["text"]) for clip in clips]
    by_live = [normalise((await transcribe_live(server.websocket_url, clip.pcm)).text) for clip in clips]
    by_program = [normalise(answer["text"]) for answer in by_command(clips)]
    assert by_rest == by_live == by_program
    assert jiwer.wer(references, by_rest) < 0.055  # in one pass each, uncut, it is 0.055


def test_server_sent_events_say_the_same_and_end_once(server: ServerProcess) -> None:
    clip = SHIPPED[2]
    response = server.post("/v1/transcribe/stream", clip.path.read_bytes())
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    events = [
        json.loads(line.removeprefix("data: ")) for line in response.text.splitlines() if line.startswith("data: ")
    ]
    finals = [event for event in events if event["type"] == "final"]
    assert " ".join(final["text"] for final in finals if final["text"]) == by_file(server, clip)["text"]
    assert [event.get("last", False) for event in events] == [False] * (len(events) - 1) + [True]


def test_garbage_is_refused_and_disturbs_nobody(server: ServerProcess) -> None:
    response = server.post("/v1/transcribe", b"this is not audio" * 100)
    assert response.status_code == 422
    assert response.json()["code"] == "invalid_audio"
    empty = server.post("/v1/transcribe", b"")
    assert (empty.status_code, empty.json()["code"]) == (400, "empty_body")
    assert by_file(server, SHIPPED[1])["text"] == "Закрой шторы в спальне."


def test_the_demo_model_says_what_it_is(server: ServerProcess) -> None:
    model = server.get("/v1/models").json()
    assert model["id"] == "demo"
    assert model["object"] == "list"
    assert model["pool_size"] == 2
    assert model["vocab_size"] == 193
    assert any("demo" in json.dumps(event) and event["level"] == "warning" for event in server.events)


def test_the_shipped_clips_are_there() -> None:
    assert {path.name for path in Path(CLIPS).glob("*.wav")} == {clip.path.name for clip in SHIPPED}


@pytest.mark.parametrize("chunk_bytes", [640, 3200, 32_000])
async def test_figures_of_a_live_stream_are_those_of_the_file_and_none_is_taken_back(
    server: ServerProcess, chunk_bytes: int
) -> None:
    clip = next(clip for clip in SHIPPED if clip.path.stem == "festival_11")
    answer = server.post("/v1/transcribe?numbers=digits", clip.path.read_bytes()).json()

    client = await transcribe_live(server.websocket_url, clip.pcm, chunk_bytes=chunk_bytes, numbers="digits")

    assert answer["text"] == "Где можно купить лук? Смешайте 700 граммов, затем запекайте огурцы 43 минут."
    assert live_segments(client) == answer["segments"]
    stable: list[dict[str, Any]] = []
    for message in client.messages:
        if message["type"] in ("partial", "final"):
            assert message["words"][: len(stable)] == stable
            assert message["text"] == " ".join(word["word"] for word in message["words"])
            stable = message["words"][: message["stable"]] if message["type"] == "partial" else []
