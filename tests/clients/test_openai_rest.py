"""OpenAI's own clients, unmodified, in the versions that people have, get what `POST /v1/transcribe` says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.conftest import interpreter, node
from tests.clips import Clip, load_clips
from tests.server import ServerProcess

HERE = Path(__file__).resolve().parent
CLIP = load_clips()[0].path
BAD_REQUEST = ["BadRequestError", 400, "invalid_parameter"]


def ask(server: ServerProcess, *command: str) -> dict[str, Any]:
    done = subprocess.run([*command, f"{server.url}/v1", str(CLIP)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("clip", load_clips(), ids=lambda clip: clip.path.stem)
def test_every_clip_has_the_words_of_the_native_answer(server: ServerProcess, clip: Clip) -> None:
    body = clip.path.read_bytes()
    native = server.post("/v1/transcribe", body).json()
    fields = {"model": "whisper-1", "response_format": "verbose_json", "timestamp_granularities[]": "word"}
    answer = httpx.post(f"{server.url}/v1/audio/transcriptions", data=fields, files={"file": body}, timeout=60).json()
    assert answer["text"] == native["text"]
    assert answer["words"] == [{name: word[name] for name in ("word", "start", "end")} for word in native["words"]]


def check(answer: dict[str, Any], native: dict[str, Any], server: ServerProcess) -> None:
    text = native["text"]
    for form in ("json", "verbose_json"):
        assert answer["texts"][form] == text
    assert answer["texts"]["text"].strip() == text
    for form in ("srt", "vtt"):
        captions = server.post("/v1/transcribe", CLIP.read_bytes(), params={"format": form}).text
        assert answer["texts"][form] == captions
    assert answer["words"] == [[word["word"], word["start"], word["end"]] for word in native["words"]]
    assert [segment["text"].strip() for segment in answer["segments"]] == [one["text"] for one in native["segments"]]
    for segment in answer["segments"]:
        assert 0 < len(segment["tokens"]) < 100
        assert all(0 <= token < 200 for token in segment["tokens"])  # the demo model knows 193
        assert 0 <= segment["no_speech_prob"] < 0.5
        assert -0.5 < segment["avg_logprob"] <= 0 < segment["compression_ratio"] < 2
    assert answer["duration"] == pytest.approx(native["duration"], abs=0.01)
    assert answer["logprobs"] == answer["streamed"] == answer["done"] == text
    assert answer["models"] == ["demo"]
    assert answer["model"] == "whisper-1"
    assert answer["refusals"] == {
        "language": [*BAD_REQUEST, "language"],
        "translation": [*BAD_REQUEST, None],
        "model": ["NotFoundError", 404, "model_not_found", "model"],
        "audio": ["UnprocessableEntityError", 422, "invalid_audio", None],
        "address": ["NotFoundError", 404, "not_found", None],
    }


@pytest.mark.parametrize("environment", ["newest", "openai-2.15", "openai-1"])
def test_openai_for_python(server: ServerProcess, environment: str) -> None:
    native = server.post("/v1/transcribe", CLIP.read_bytes()).json()
    answer = ask(server, interpreter(environment), str(HERE / "openai_rest.py"))
    check(answer, native, server)
    assert answer["events"] == ["TranscriptionTextDeltaEvent"] * 2 + ["TranscriptionTextDoneEvent"]


def test_openai_for_node(server: ServerProcess) -> None:
    native = server.post("/v1/transcribe", CLIP.read_bytes()).json()
    answer = ask(server, node(), str(HERE / "javascript" / "openai_rest.mjs"))
    check(answer, native, server)
    assert answer["events"] == ["transcript.text.delta"] * 2 + ["transcript.text.done"]
