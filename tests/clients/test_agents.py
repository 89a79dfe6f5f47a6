"""Frameworks of voice agents, unmodified, hear what `POST /v1/transcribe` says: by OpenAI's and Deepgram's plugins."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import interpreter
from tests.clients.test_openai_realtime import CLIP, at_24_khz, by_file
from tests.server import ServerProcess

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent.parent / "examples"


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def test_pipecat_prints_what_was_said(server: ServerProcess) -> None:
    script, url = EXAMPLES / "pipecat" / "transcribe.py", f"{server.url.replace('http', 'ws')}/v1/realtime"
    shown = run(interpreter("pipecat"), str(script), str(CLIP.path), "--url", url)
    assert " ".join(shown.splitlines()) == by_file(server)


def test_pipecat_hears_by_deepgrams_protocol(server: ServerProcess) -> None:
    address = server.url.removeprefix("http://")
    shown = run(interpreter("pipecat"), str(HERE / "pipecat_deepgram.py"), str(CLIP.path), address)
    assert " ".join(shown.splitlines()) == by_file(server)


@pytest.mark.parametrize(("plugin", "path"), [("openai", "/v1"), ("deepgram", "/v1/listen")])
def test_livekit_hears_a_stream_and_a_recording(server: ServerProcess, plugin: str, path: str, tmp_path: Path) -> None:
    (tmp_path / "speech.pcm").write_bytes(at_24_khz(CLIP.pcm))
    script, url = str(HERE / "livekit_stt.py"), f"{server.url}{path}"
    heard = json.loads(run(interpreter("livekit"), script, plugin, url, str(tmp_path / "speech.pcm")))
    assert " ".join(heard["finals"]) == heard["whole"] == by_file(server)
    assert heard["kinds"][:2] == ["start_of_speech", "interim_transcript"]
