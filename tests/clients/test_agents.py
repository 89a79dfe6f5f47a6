"""Frameworks of voice agents, unmodified: their plugins for OpenAI hear what `POST /v1/transcribe` says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

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


def test_livekit_hears_a_stream_and_a_recording(server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "speech.pcm").write_bytes(at_24_khz(CLIP.pcm))
    script = HERE / "livekit_stt.py"
    heard = json.loads(run(interpreter("livekit"), str(script), f"{server.url}/v1", str(tmp_path / "speech.pcm")))
    assert " ".join(heard["finals"]) == heard["whole"] == by_file(server)
    assert heard["kinds"][:2] == ["start_of_speech", "interim_transcript"]
