"""The program keeps to itself: it reaches nothing but this machine, and writes where it is told to.

The exception is the hub, when a download is asked for; here that is a stand-in on this machine. The environment has
no `CI`, in which onnxruntime keeps quiet by itself.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gigastt.config import DEFAULT_MODEL
from gigastt.models.catalog import GIGAAM, VOCABULARY
from gigastt.models.store import resolve
from tests.clips import load_clips
from tests.fakes.hub import FakeHub, serve_hub
from tests.fakes.models import REPOSITORY, REVISION, make_contents
from tests.live_client import transcribe_live
from tests.server import ServerProcess, command
from tests.tracing import Trace, outside_environment, run_traced
from tests.waiting import wait_for

CLIP = load_clips()[3]
ROOT = Path(__file__).resolve().parents[2]
ASKS_AFTER_SECONDS = 12.0  # onnxruntime's telemetry makes its first look-up some 9 s after it is loaded


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    return Trace(tmp_path / "trace")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "output").mkdir()
    return tmp_path / "output"


def assert_silent(trace: Trace, home: Path, *allowed: Path) -> None:
    """Nothing reached, nothing written but in these folders and the one for temporary files."""
    assert trace.reached() == []
    assert trace.written(home.parent / "tmp", *allowed) == []
    assert list(home.iterdir()) == []


async def test_serving_is_silent(trace: Trace, home: Path) -> None:
    began = time.monotonic()
    server = ServerProcess("--pool-size", "1", prefix=trace.prefix, environment=outside_environment(home))
    with server:
        responses = [await asyncio.to_thread(server.post, "/v1/transcribe", CLIP.path.read_bytes()) for _ in range(3)]
        session = await transcribe_live(server.websocket_url, CLIP.pcm)
        await asyncio.to_thread(wait_for, lambda: time.monotonic() > began + ASKS_AFTER_SECONDS, 60)
    trace.wait(server.pid)

    assert [response.status_code for response in responses] == [200] * 3
    assert session.text
    assert_silent(trace, home)


@pytest.mark.parametrize("name", ["transcribe", "doctor"])
def test_commands_are_silent(name: str, trace: Trace, home: Path, output: Path) -> None:
    arguments = {
        "transcribe": ("--model", "demo", "--format", "srt", "--output-dir", str(output), str(CLIP.path)),
        "doctor": ("--model", "demo", "--port", "0"),
    }
    done = run_traced(trace, command(name, *arguments[name]), outside_environment(home), output.parent)

    assert done.returncode == 0, done.stdout
    assert_silent(trace, home, output)


def test_optimising_is_silent(trace: Trace, home: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    for path in resolve("demo", tmp_path).paths:
        shutil.copyfile(path, models / path.name)
    arguments = ("--model-dir", str(models), "--output", str(models / "fast"))
    done = run_traced(trace, command("optimize", *arguments), outside_environment(home), tmp_path)

    assert done.returncode == 0, done.stdout
    assert_silent(trace, home, models)


@pytest.mark.parametrize("child", [True, False], ids=["child", "command"])
def test_downloading_reaches_the_hub_only(child: bool, trace: Trace, home: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    repository, revision = (REPOSITORY, REVISION) if child else (GIGAAM.repository, GIGAAM.revision)
    with serve_hub(FakeHub(repository, revision, make_contents(), small=frozenset({VOCABULARY}))) as hub:
        environment = outside_environment(home, HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET="1")
        if child:
            arguments = [sys.executable, "-m", "tests.fakes.fetch_child", str(models)]
        else:  # the real model's digests are not those of the stand-in's files
            arguments = command("download", "--model-dir", str(models))
        done = run_traced(trace, arguments, environment, ROOT)

    assert done.returncode == (0 if child else 5), done.stdout
    assert hub.requests
    assert (models / DEFAULT_MODEL / VOCABULARY).exists() == child
    assert_silent(trace, home, models)


def test_a_program_that_imports_us_is_silent_too(trace: Trace, home: Path, tmp_path: Path) -> None:
    script = (
        "from pathlib import Path\n"
        "from gigastt.transcribe import TranscribedFile, load_recognizer\n"
        "recognizer = load_recognizer('demo', Path())[1]\n"
        f"with open({str(CLIP.path)!r}, 'rb') as file:\n"
        "    print(*(segment.text for segment in TranscribedFile(file, recognizer).segments()))\n"
    )
    done = run_traced(trace, [sys.executable, "-c", script], outside_environment(home), tmp_path)

    assert done.returncode == 0, done.stdout
    assert done.stdout.strip()
    assert_silent(trace, home)


def test_the_watch_sees_a_look_up_and_a_file(trace: Trace, home: Path, tmp_path: Path) -> None:
    script = (
        "import pathlib, socket\n"
        "pathlib.Path('~/.cache').expanduser().mkdir()\n"
        "pathlib.Path('~/.cache/deviceid').expanduser().write_text('id')\n"
        "with socket.socket(type=socket.SOCK_DGRAM) as asking:\n"
        "    asking.connect(('127.0.0.53', 53))\n"
        "with socket.socket(type=socket.SOCK_DGRAM) as calling:\n"
        "    calling.connect(('192.0.2.1', 443))\n"  # says where to, and sends nothing
    )
    run_traced(trace, [sys.executable, "-c", script], outside_environment(home), tmp_path)

    assert len(trace.reached()) == 2
    assert len(trace.written(tmp_path / "tmp")) == 2
    assert trace.written(home) == []


@pytest.mark.parametrize("module", ["gigastt", "benchmarks", "tools.activity", "tools.demo_model"])
def test_whatever_loads_onnxruntime_has_told_it_to_be_silent(module: str) -> None:
    script = f"import os, {module}; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.stdout == "1\n", done.stderr


def test_an_onnxruntime_that_was_loaded_before_us_is_told_to_stop() -> None:
    script = (
        "import sys, types\n"
        "other = sys.modules['onnxruntime'] = types.ModuleType('onnxruntime')\n"
        "other.disable_telemetry_events = lambda: print('told')\n"
        "import gigastt\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "told\n", done.stderr
