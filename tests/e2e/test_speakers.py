"""Who speaks, through the shipped program and the small models it comes with."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import connect

from benchmarks.conversations import SpokenTurn, Talk
from benchmarks.speakers import judge
from tests.clips import load_clips
from tests.live_client import LiveClient, transcribe_amid_faults, transcribe_live
from tests.server import ServerProcess, run_program
from tests.wave_files import encode, resample, wave_file

CLIPS = {clip.path.stem: clip.pcm for clip in load_clips()}
PAUSE = bytes(12_800)  # 0.4 s, which ends no utterance


def high(name: str) -> bytes:
    """Return a clip a third higher and faster: another voice."""
    return encode(resample(CLIPS[name], 12_000), "pcm_s16le")


LOW = ["festival_01", "festival_18", "festival_09"]
TURNS = [CLIPS[LOW[0]], high("festival_11"), CLIPS[LOW[1]], high("festival_01"), CLIPS[LOW[2]], high("festival_18")]
TALK = PAUSE.join(TURNS) + bytes(32_000)
ENDS = np.cumsum([(len(turn) + len(PAUSE)) / 32_000 for turn in TURNS])


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess("--pool-size", "2") as running:
        yield running


@pytest.fixture(scope="module")
def answer(server: ServerProcess) -> dict[str, Any]:
    return transcribe(server, "diarization=true&speaker_embeddings=true")


def transcribe(server: ServerProcess, query: str, pcm: bytes = TALK) -> dict[str, Any]:
    response = server.post(f"/v1/transcribe?{query}", wave_file(pcm, 16_000))
    assert response.status_code == 200
    answer: dict[str, Any] = response.json()
    return answer


def labels(answer: dict[str, Any]) -> list[int]:
    return [word["speaker"] for word in answer["words"]]


def truth(answer: dict[str, Any]) -> list[int]:
    """Return who speaks each word: the synthesiser, from 0 in order of appearance."""
    turns = np.searchsorted(ENDS, [(word["start"] + word["end"]) / 2 for word in answer["words"]])
    return [int(turn) % 2 for turn in turns]


def without_speakers(words: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: word[name] for name in ("word", "start", "end", "confidence")} for word in words]


def at_the_end(client: LiveClient) -> list[int]:
    [message] = client.of("speakers")
    assert client.messages[-1] is message
    assert client.close_code == 1000
    return list(message["words"])


def test_words_and_segments_of_a_file_have_their_speakers(answer: dict[str, Any]) -> None:
    wrong = sum(label != speaker for label, speaker in zip(labels(answer), truth(answer), strict=True))

    assert wrong <= len(answer["words"]) // 10
    assert [one["speaker"] for one in answer["speakers"]] == [0, 1]
    assert all(0 < word["speaker_confidence"] <= 1 for word in answer["words"])
    assert {segment["speaker"] for segment in answer["segments"]} <= {0, 1}


def test_the_diarisation_error_is_small(answer: dict[str, Any]) -> None:
    """simpleder judges it, of the words' times; the pauses between words that a turn has are its own."""
    begins = [0.0, *ENDS[:-1]]
    turns = [SpokenTurn(str(n % 2), begin, end) for n, (begin, end) in enumerate(zip(begins, ENDS, strict=True))]
    talk = Talk(np.frombuffer(TALK, "<i2"), turns)

    judged = judge(talk, answer["words"], answer["segments"])

    assert judged["counted"]
    assert judged["wrong"] <= judged["words"] // 10
    assert judged["der"] < 0.15


def test_speakers_change_no_word(server: ServerProcess, answer: dict[str, Any]) -> None:
    plain = transcribe(server, "diarization=false")

    assert plain["words"] == without_speakers(answer["words"])
    assert plain["text"] == answer["text"]
    assert "speakers" not in plain


@pytest.mark.parametrize("chunk_bytes", [640, 3_200, 32_000])
async def test_the_end_of_a_session_is_the_file(
    server: ServerProcess, answer: dict[str, Any], chunk_bytes: int
) -> None:
    client = await transcribe_live(server.websocket_url, TALK, chunk_bytes=chunk_bytes, diarization=True)

    assert at_the_end(client) == labels(answer)
    words = [word for final in client.finals for word in final["words"]]
    assert without_speakers(words) == without_speakers(answer["words"])
    assert all(word["speaker"] in (0, 1) for word in words)


async def test_killed_workers_lose_no_label(server: ServerProcess, answer: dict[str, Any]) -> None:
    undisturbed = await transcribe_live(server.websocket_url, TALK, diarization=True)
    client = await transcribe_amid_faults(server.websocket_url, TALK, server.kill_workers, strikes=4, diarization=True)

    assert at_the_end(client) == labels(answer)
    assert [final["words"] for final in client.finals] == [final["words"] for final in undisturbed.finals]


async def test_two_channels_are_two_speakers(server: ServerProcess) -> None:
    left, right = (np.frombuffer(CLIPS[name][:60_000], "<i2") for name in ("festival_01", "espeak_11"))
    pcm = np.stack([left, right], axis=1).tobytes() + bytes(64_000)

    client = await transcribe_live(server.websocket_url, pcm, channels=2, diarization=True)

    assert {(final["channel"], word["speaker"]) for final in client.finals for word in final["words"]} == {
        (0, 0),
        (1, 1),
    }
    assert set(at_the_end(client)) == {0, 1}


async def test_a_session_that_does_not_ask_is_told_nothing(server: ServerProcess) -> None:
    client = await transcribe_live(server.websocket_url, CLIPS["espeak_11"])

    assert client.of("ready")[0]["diarization"] is True
    assert not client.of("speakers")
    assert all("speaker" not in word for final in client.finals for word in final["words"])


async def test_known_speakers_have_their_names(server: ServerProcess, answer: dict[str, Any]) -> None:
    recording = b64encode(wave_file(CLIPS["festival_11"][:256_000], 16_000)).decode()
    embedding = next(one["embedding"] for one in answer["speakers"] if one["speaker"] == 1)
    known = [{"name": "Фёдор", "audio": recording}, {"name": "Эмиль", "embedding": embedding}]

    client = await transcribe_live(server.websocket_url, TALK, diarization=True, known_speakers=known)

    [message] = client.of("speakers")
    assert [one["speaker_name"] for one in message["speakers"]] == ["Фёдор", "Эмиль"]
    assert not client.of("error")
    names = [word.get("speaker_name") for final in client.finals for word in final["words"]]
    assert set(names) <= {"Фёдор", "Эмиль"}


async def test_a_recording_without_words_is_told_and_the_session_goes_on(server: ServerProcess) -> None:
    known = [{"name": "Никто", "audio": b64encode(wave_file(bytes(64_000), 16_000)).decode()}]

    client = await transcribe_live(server.websocket_url, CLIPS["espeak_11"], diarization=True, known_speakers=known)

    assert [error["code"] for error in client.of("error")] == ["invalid_parameter"]
    assert client.finals


def test_an_event_stream_ends_with_the_speakers_of_the_file(server: ServerProcess, answer: dict[str, Any]) -> None:
    response = server.post("/v1/transcribe/stream?diarization=true", wave_file(TALK, 16_000))
    events = [json.loads(line.removeprefix("data: ")) for line in response.text.splitlines() if line[:1] == "d"]

    [told] = [event for event in events if event["type"] == "speakers"]
    assert told["words"] == labels(answer)
    assert [event["type"] for event in events if event.get("last")] == ["final"]


def test_clients_of_openai_and_deepgram_are_told(server: ServerProcess, answer: dict[str, Any]) -> None:
    deepgram = server.post("/v1/listen?diarize=true&punctuate=true&utterances=true", wave_file(TALK, 16_000)).json()
    [alternative] = deepgram["results"]["channels"][0]["alternatives"]
    assert [word["speaker"] for word in alternative["words"]] == labels(answer)
    assert {turn["speaker"] for turn in deepgram["results"]["utterances"]} == {0, 1}

    form = {"model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json"}
    file = {"file": wave_file(TALK, 16_000)}
    openai = httpx.post(f"{server.url}/v1/audio/transcriptions", data=form, files=file, timeout=60).json()
    assert [segment["speaker"] for segment in openai["segments"]][:2] == ["A", "B"]
    assert "".join(segment["text"] for segment in openai["segments"]).strip() == answer["text"]


async def test_a_live_client_of_deepgram_is_told(server: ServerProcess) -> None:
    address = server.websocket_url.replace("/v1/ws", "/v1/listen")
    results: list[dict[str, Any]] = []
    async with connect(f"{address}?encoding=linear16&sample_rate=16000&diarize=true&numerals=true") as socket:
        await socket.send(TALK[:500_000])
        await socket.send(TALK[500_000:])
        await socket.send('{"type":"CloseStream"}')
        async for text in socket:
            results.append(json.loads(text))
    words = [
        word
        for result in results
        if result["type"] == "Results"
        for word in result["channel"]["alternatives"][0]["words"]
    ]
    assert {word["speaker"] for word in words} == {0, 1}
    assert all(0 < word["speaker_confidence"] <= 1 for word in words)
    assert "700" in [word["word"] for word in words]


def test_without_a_model_speakers_are_refused_where_they_are_asked_for() -> None:
    with ServerProcess("--pool-size", "1", "--speaker-model", "off") as running:
        refused = running.post("/v1/transcribe?diarization=true", wave_file(CLIPS["espeak_03"], 16_000))
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter")
        client = asyncio.run(transcribe_live(running.websocket_url, CLIPS["espeak_03"], diarization=True))
        assert client.finals
        assert not client.of("error")
        assert running.get("/v1/models").json()["diarization"] is False


def test_the_command_line_says_who_speaks(tmp_path: Path, answer: dict[str, Any]) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(wave_file(TALK, 16_000))
    shared = ["transcribe", "--model", "demo", "--model-dir", str(tmp_path), "--diarization"]

    told = run_program([*shared, "--format", "json", str(path)])
    text = run_program([*shared, "--speakers", "2", str(path)])

    assert labels(json.loads(told.stdout)) == labels(answer)
    assert text.stdout.startswith("Speaker 0: ")
    assert "\nSpeaker 1: " in text.stdout


def test_the_command_line_knows_speakers_by_every_way(server: ServerProcess, tmp_path: Path) -> None:
    talk, known = tmp_path / "talk.wav", tmp_path / "known.wav"
    talk.write_bytes(wave_file(TALK, 16_000))
    known.write_bytes(wave_file(CLIPS["festival_11"][:256_000], 16_000))
    shared = ["transcribe", "--model", "demo", "--model-dir", str(tmp_path), "--diarization", str(talk)]
    shared += ["--known-speaker", f"Эмиль={known}"]

    here, workers, there = (
        run_program([*shared, *way]).stdout for way in ([], ["--jobs", "2"], ["--server", server.url])
    )
    wrong = run_program([*shared, "--known-speaker", f"Никто={tmp_path / 'nobody.wav'}"])

    assert here == workers == there
    assert "\nSpeaker 1: " in here
    assert here.startswith("Эмиль: ")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "nobody.wav" in wrong.stderr


def test_one_channel_that_is_told_apart_has_the_speakers_of_its_voices(
    server: ServerProcess, tmp_path: Path, answer: dict[str, Any]
) -> None:
    talk = tmp_path / "talk.wav"
    talk.write_bytes(wave_file(TALK, 16_000))
    arguments = ["transcribe", "--model", "demo", "--model-dir", str(tmp_path), "--diarization", "--format", "json"]

    told = run_program([*arguments, "--channels", "split", str(talk)])

    assert labels(json.loads(told.stdout)) == labels(answer)
    assert labels(transcribe(server, "diarization=true&channels=split")) == labels(answer)
