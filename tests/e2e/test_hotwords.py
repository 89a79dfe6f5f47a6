"""Hotwords and alternatives through the shipped program: live and in files, over workers' deaths, in adapters.

The demo model knows these clips, so the hotwords are words that sound like those which are said.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from gigastt.spelling import PLAIN
from tests.clips import load_clips
from tests.live_client import transcribe_amid_faults, transcribe_live
from tests.server import ServerProcess
from tests.wave_files import wave_file

CLIPS = {clip.path.stem: clip.pcm for clip in load_clips()}
PAUSE = bytes(32_000)
TALK = PAUSE.join(CLIPS[name] for name in ("espeak_03", "festival_01", "espeak_11")) + PAUSE
SOUND_ALIKES = [{"phrase": phrase, "weight": 3} for phrase in ("запикайте", "Кукурица")]
CHANGES = {"запекайте": "запикайте", "курицу": "кукурицу"}
UNRELATED = ["Хабаровск", "амлодипин", "Красная Пахра", {"phrase": "эквайринг", "weight": 0.5}]


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess("--pool-size", "2", "--vosk", "127.0.0.1:0") as running:
        yield running


def transcribe(server: ServerProcess, pcm: bytes = TALK, **fields: Any) -> dict[str, Any]:
    query = {name: json.dumps(value) if name == "hotwords" else value for name, value in fields.items()}
    response = server.post("/v1/transcribe", wave_file(pcm, 16_000), params=query)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def changed(text: str) -> str:
    for said, expected in CHANGES.items():
        text = text.replace(said, expected)
    return text


def test_a_file_has_the_phrases_and_no_other_word_changes(server: ServerProcess) -> None:
    plain, answer = transcribe(server), transcribe(server, hotwords=SOUND_ALIKES)
    assert answer["text"] == changed(plain["text"]) != plain["text"]
    assert len(answer["words"]) == len(plain["words"])


@pytest.mark.parametrize("hotwords", [[], UNRELATED])
def test_no_phrases_and_unrelated_ones_change_not_a_byte(server: ServerProcess, hotwords: list[Any]) -> None:
    assert transcribe(server, hotwords=hotwords) == transcribe(server)


@pytest.mark.parametrize("chunk_bytes", [640, 32_000])
async def test_live_is_the_file(server: ServerProcess, chunk_bytes: int) -> None:
    wanted: dict[str, Any] = {"hotwords": SOUND_ALIKES, "alternatives": 5}
    answer = transcribe(server, **wanted)
    client = await transcribe_live(server.websocket_url, TALK, chunk_bytes=chunk_bytes, **wanted)
    assert client.text == answer["text"] == changed(transcribe(server)["text"])
    for final, segment in zip(client.finals, answer["segments"], strict=True):
        assert (final["words"], final["alternatives"]) == (segment["words"], segment["alternatives"])
    assert not client.of("error")


async def test_killed_workers_lose_no_phrase(server: ServerProcess) -> None:
    wanted: dict[str, Any] = {"hotwords": SOUND_ALIKES, "alternatives": 3, "diarization": True}
    undisturbed = await transcribe_live(server.websocket_url, TALK, **wanted)
    client = await transcribe_amid_faults(server.websocket_url, TALK, server.kill_workers, strikes=3, **wanted)
    told, expected = (
        [{name: final[name] for name in ("text", "words", "alternatives")} for final in each.finals]
        for each in (client, undisturbed)
    )
    assert told == expected
    assert client.of("speakers") == undisturbed.of("speakers")


def test_alternatives_are_other_words_and_leave_the_text_as_it_is(server: ServerProcess) -> None:
    plain, answer = transcribe(server), transcribe(server, alternatives=5)
    for segment, before in zip(answer["segments"], plain["segments"], strict=True):
        alternatives = segment.pop("alternatives")
        assert segment == before
        assert alternatives[0] == {name: before[name] for name in ("text", "confidence", "words")}
        texts = [PLAIN.spell(one["text"]) for one in alternatives]
        assert len({*texts}) == len(texts) == 5
        assert all(texts)
    assert answer["words"] == plain["words"]


def test_vosk_is_told_as_many_as_it_wants(server: ServerProcess) -> None:
    [listening] = server.logged("vosk_listening")
    with connect(f"ws://127.0.0.1:{listening['port']}") as socket:
        socket.send(json.dumps({"config": {"sample_rate": 16_000, "max_alternatives": 3}}))
        socket.send(CLIPS["espeak_03"])
        socket.recv()
        socket.send('{"eof": 1}')
        told = json.loads(socket.recv())["alternatives"]
    assert told[0]["text"] == "закрой шторы в спальне"
    assert len({one["text"] for one in told}) == 3
    assert all(one["result"][-1].keys() == {"start", "end", "word"} for one in told)


def test_the_servers_own_phrases_count_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "hotwords.txt"
    path.write_text("# sound-alikes\nКукурица\t3\nSAP\n", encoding="utf-8")
    with ServerProcess("--pool-size", "1", "--hotwords-file", str(path)) as server:
        answer = server.post("/v1/transcribe", wave_file(CLIPS["festival_01"], 16_000)).json()
        [warning] = server.logged("hotwords_unusable")
    assert "запекайте кукурицу двадцать" in answer["text"]
    assert warning["phrases"] == ["SAP"]
