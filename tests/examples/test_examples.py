"""The examples run against a real server and print what is said in the clip."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clips import load_clips
from tests.server import ServerProcess
from tests.shared import do_without, require_program

pytestmark = pytest.mark.e2e

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
CLIP = load_clips()[0]
SENTENCES = ["Расскажи рецепт каши.", "Включи фильм фиксики."]
NODE_VERSION = (20, 10)


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess("--pool-size", "1") as running:
        yield running


def require_node() -> str:
    node = require_program("node")
    text = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip("v\n")
    if tuple(int(part) for part in text.split(".")[:2]) < NODE_VERSION:
        do_without(f"needs Node 20.10 or newer, and this is {text}")
    return node


def run_example(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)


def check_streaming(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    assert [line.split("] ", 1)[1] for line in done.stdout.splitlines()] == SENTENCES
    assert "demo is ready" in done.stderr


def test_python_streams_and_prints_partials_and_finals(server: ServerProcess) -> None:
    script = str(EXAMPLES / "python" / "stream.py")
    done = run_example(sys.executable, script, str(CLIP.path), "--url", server.websocket_url)  # at the pace of speech
    check_streaming(done)
    assert "…" in done.stderr


def test_javascript_streams_and_prints_finals(server: ServerProcess) -> None:
    script = str(EXAMPLES / "javascript" / "stream.mjs")
    check_streaming(run_example(require_node(), script, str(CLIP.path), "--url", server.websocket_url, "--fast"))


def test_curl_gets_the_whole_transcript(server: ServerProcess) -> None:
    require_program("curl")
    done = run_example("sh", str(EXAMPLES / "curl" / "transcribe.sh"), str(CLIP.path), server.url)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["text"] == " ".join(SENTENCES)


def test_curl_sees_the_segments_arrive(server: ServerProcess) -> None:
    require_program("curl")
    done = run_example("sh", str(EXAMPLES / "curl" / "stream.sh"), str(CLIP.path), server.url)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line.removeprefix("data: ")) for line in done.stdout.splitlines() if line.startswith("data: ")]
    finals = [event["text"] for event in events if event["type"] == "final" and event["text"]]
    assert finals == SENTENCES


def test_python_says_when_there_is_no_server() -> None:
    script = str(EXAMPLES / "python" / "stream.py")
    assert run_example(sys.executable, script, str(CLIP.path), "--url", "ws://127.0.0.1:9/v1/ws").returncode != 0


def test_python_says_what_it_needs() -> None:
    script = str(EXAMPLES / "python" / "stream.py")
    done = run_example(sys.executable, "-S", script, str(CLIP.path))  # without any package
    assert done.returncode == 1
    assert "pip install websockets" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_commands_of_the_readme_are_the_examples() -> None:
    commands = re.findall(r"`[^`]* (\S+/\S+\.(?:py|mjs|sh)) \.\./(\S+)`", (EXAMPLES / "README.md").read_text("utf-8"))
    assert {script for script, _ in commands} == {
        path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.glob("*/*.*") if path.name != "gigastt_client.py"
    }
    assert all((EXAMPLES.parent / clip).exists() for _, clip in commands)
