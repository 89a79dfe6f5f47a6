"""Deepgram's own clients, unmodified, hear live and of files what `POST /v1/transcribe` says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.clients.conftest import interpreter, node
from tests.clips import Clip, load_clips, normalise
from tests.server import ServerProcess

HERE = Path(__file__).resolve().parent


def listen(server: ServerProcess, clip: Clip, folder: Path, *options: str) -> dict[str, Any]:
    samples = folder / "speech.pcm"
    samples.write_bytes(clip.pcm)
    command = [interpreter("deepgram"), str(HERE / "deepgram_listen.py"), server.url, str(clip.path), str(samples)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    heard: dict[str, Any] = json.loads(done.stdout)
    return heard


def listen_in_javascript(server: ServerProcess, clip: Clip, folder: Path, frame_ms: str) -> dict[str, Any]:
    samples = folder / "speech.pcm"
    samples.write_bytes(clip.pcm)
    script = str(HERE / "javascript" / "deepgram_listen.mjs")
    command = [node("@deepgram/sdk"), script, server.url, str(clip.path), str(samples), frame_ms]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    heard: dict[str, Any] = json.loads(done.stdout)
    return heard


def texts(heard: dict[str, Any]) -> list[str]:
    results = [message for message in heard["messages"] if message["type"] == "Results" and message["is_final"]]
    return [said for one in results if (said := one["channel"]["alternatives"][0]["transcript"])]


def by_file(server: ServerProcess, clip: Clip) -> str:
    text: str = server.post("/v1/transcribe?numbers=digits", clip.path.read_bytes()).json()["text"]
    return text


@pytest.mark.parametrize("frame_ms", ["20", "1000"])
@pytest.mark.parametrize("clip", load_clips(), ids=lambda clip: clip.path.stem)
def test_the_words_are_those_of_the_file(server: ServerProcess, clip: Clip, frame_ms: str, tmp_path: Path) -> None:
    expected = by_file(server, clip)
    heard = listen(server, clip, tmp_path, "--frame-ms", frame_ms)
    assert heard["file"] == [expected]
    assert " ".join(texts(heard)) == expected
    assert set(heard["classes"]) <= {
        "ListenV1Results",
        "ListenV1SpeechStarted",
        "ListenV1UtteranceEnd",
        "ListenV1Metadata",
    }
    assert heard["classes"][-1] == "ListenV1Metadata"
    assert heard["classes"][0] == "ListenV1SpeechStarted"
    assert heard["classes"].count("ListenV1UtteranceEnd") == len(texts(heard))


def test_finalize_ends_an_utterance_and_a_key_is_a_token(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("secret-key-1\n")
    clip = load_clips()[0]
    with ServerProcess("--pool-size", "1", "--api-keys-file", str(tmp_path / "keys")) as server:
        heard = listen(server, clip, tmp_path, "--finalize", "--key", "secret-key-1")
    flags = [message["from_finalize"] for message in heard["messages"] if message.get("is_final")]
    assert flags.count(True) == 1
    assert len(normalise(" ".join(texts(heard))).split()) >= len(normalise(clip.reference).split())


@pytest.mark.parametrize("frame_ms", ["20", "1000"])
def test_javascript_hears_the_words_of_the_file(server: ServerProcess, frame_ms: str, tmp_path: Path) -> None:
    clip = load_clips()[0]
    heard = listen_in_javascript(server, clip, tmp_path, frame_ms)
    assert heard["file"] == [" ".join(texts(heard))] == [by_file(server, clip)]
    assert heard["messages"][-1]["type"] == "Metadata"


def test_a_worker_killed_in_the_middle_is_not_noticed(server: ServerProcess) -> None:
    clip = load_clips()[0]
    query = "encoding=linear16&sample_rate=16000&punctuate=true"
    with connect(f"{server.url.replace('http', 'ws')}/v1/listen?{query}") as socket:
        for begin in range(0, len(clip.pcm), 6400):
            if begin <= len(clip.pcm) // 2 < begin + 6400:
                server.kill_workers()
            socket.send(clip.pcm[begin : begin + 6400])
        socket.send(json.dumps({"type": "CloseStream"}))
        heard = {"messages": [json.loads(message) for message in socket]}
    assert " ".join(texts(heard)) == by_file(server, clip)
