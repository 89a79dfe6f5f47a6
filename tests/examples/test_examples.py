"""The examples run against a real server and print what is said in the clip."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.clients.conftest import interpreter
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


def test_the_readme_has_every_example_as_a_command_or_a_link() -> None:
    text = (EXAMPLES / "README.md").read_text("utf-8")
    commands = re.findall(r"`[^`]* (\S+/\S+\.(?:py|mjs|sh|go)) \.\./(\S+)`", text)
    links = set(re.findall(r"\]\(([a-z]+/[^)]+\.\w+)\)", text))
    assert {script for script, _ in commands} | links == {
        path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.glob("*/*.*") if path.parent.name != "browser"
    }
    assert "`browser/` has" in text
    assert all((EXAMPLES.parent / clip).exists() for _, clip in commands)


def test_go_prints_segments(server: ServerProcess) -> None:
    script = str(EXAMPLES / "go" / "transcribe.go")
    command = [require_program("go"), "run", script, str(CLIP.path), server.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)  # it compiles, once
    assert done.returncode == 0, done.stderr
    assert [line.split(maxsplit=2)[2] for line in done.stdout.splitlines()] == SENTENCES


def test_home_assistants_protocol_prints_the_text() -> None:
    script = str(EXAMPLES / "home-assistant" / "transcribe.py")
    with ServerProcess("--pool-size", "1", "--wyoming", "127.0.0.1:0") as wyoming:
        [listening] = wyoming.logged("wyoming_listening")
        done = run_example(sys.executable, script, str(CLIP.path), "--uri", f"tcp://127.0.0.1:{listening['port']}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == " ".join(SENTENCES)


def test_an_agent_of_livekit_has_its_speech_to_text() -> None:
    code = "import agent; print(agent.recogniser().provider)"
    done = subprocess.run(
        [interpreter("livekit"), "-c", code],
        cwd=EXAMPLES / "livekit", capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "127.0.0.1:9876" in done.stdout


def test_a_dialplan_for_freeswitch_is_whole() -> None:
    plan = ElementTree.parse(EXAMPLES / "freeswitch" / "dialplan.xml").getroot()
    started = [each.get("data", "") for each in plan.iter("action") if "uuid_audio_stream" in each.get("data", "")]
    assert [data.split()[4:] for data in started] == [["stereo", "8k"]]
    assert "/v1/ws?sample_rate=8000&channels=2" in started[0]
