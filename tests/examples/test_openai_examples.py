"""The examples with OpenAI's libraries run against a real server and print what is said in the clip."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import NODE_MODULES, node
from tests.clips import load_clips
from tests.server import ServerProcess

pytestmark = pytest.mark.e2e

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples" / "openai"
CLIP = load_clips()[0]


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess("--pool-size", "1") as running:
        yield running


def run_example(*arguments: str) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_python_prints_the_text(server: ServerProcess) -> None:
    script = str(EXAMPLES / "transcribe.py")
    assert run_example(sys.executable, script, str(CLIP.path), "--url", f"{server.url}/v1").strip() == CLIP.reference


def test_javascript_prints_segments(server: ServerProcess, tmp_path: Path) -> None:
    program = node()
    script = shutil.copy(EXAMPLES / "transcribe.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    lines = run_example(program, str(script), str(CLIP.path), f"{server.url}/v1").splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines] == ["Расскажи рецепт каши.", "Включи фильм фиксики."]


def test_python_transcribes_over_the_realtime_api(server: ServerProcess) -> None:
    script = str(EXAMPLES / "realtime.py")
    shown = run_example(sys.executable, script, str(CLIP.path), "--url", f"{server.url}/v1", "--fast")
    assert shown.splitlines()[-1] == CLIP.reference
