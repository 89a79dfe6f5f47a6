"""Deepgram's own client, unmodified, hears live and of files what `POST /v1/transcribe` says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import interpreter
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


def texts(heard: dict[str, Any]) -> list[str]:
    results = [message for message in heard["messages"] if message["type"] == "Results" and message["is_final"]]
    return [said for one in results if (said := one["channel"]["alternatives"][0]["transcript"])]


def by_file(server: ServerProcess, clip: Clip) -> str:
    text: str = server.post("/v1/transcribe", clip.path.read_bytes()).json()["text"]
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
