"""Archives by worker processes, by running servers, and of folders that fill: the same transcripts each time."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.clips import CLIPS
from tests.server import ServerProcess, clean_environment, command, run_program
from tests.waiting import wait_for

_NAMES = ("espeak_01.wav", "espeak_03.wav", "festival_11.wav")
_HOTWORDS = '[{"phrase": "запикайте", "weight": 3}]'
_WISHES = ("--hotwords", _HOTWORDS, "--alternatives", "3")
_OPTIONS = ("--recursive", "--format", "json", "--dropped", "--channels", "split", *_WISHES)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Recordings in two folders, and something that is none."""
    folder = tmp_path / "in"
    for number, name in enumerate(_NAMES):
        target = folder / str(number % 2) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CLIPS / name, target)
    (folder / "notes.txt").write_text("no audio at all" * 9, encoding="utf-8")
    return folder


def transcripts(out: Path) -> dict[str, object]:
    return {str(path.relative_to(out)): json.loads(path.read_text("utf-8")) for path in out.rglob("*.json")}


def test_workers_and_servers_write_what_this_process_writes(
    server: ServerProcess, archive: Path, tmp_path: Path
) -> None:
    ways = {
        "here": ("--model", "demo", "--jobs", "1"),
        "workers": ("--model", "demo", "--jobs", "2"),
        "servers": ("--server", "http://127.0.0.1:9", "--server", server.url, "--resume"),
    }
    for name, way in ways.items():
        done = run_program(["transcribe", str(archive), *_OPTIONS, *way, "--output-dir", str(tmp_path / name)])
        assert done.returncode == 1
        assert "notes.txt: This is not an audio file of a known format." in done.stderr
    written = {name: transcripts(tmp_path / name) for name in ways}
    assert len(written["here"]) == len(_NAMES)
    assert "запикайте" in str(written["here"])
    assert "alternatives" in str(written["here"])
    assert written["workers"] == written["here"]
    assert written["servers"] == written["here"]


def test_servers_that_do_not_answer_are_told(archive: Path) -> None:
    done = run_program(["transcribe", str(archive / "0" / "espeak_01.wav"), "--server", "http://127.0.0.1:9"])
    assert done.returncode == 1
    assert done.stderr == "gigastt: No server answers: http://127.0.0.1:9.\n"


def test_text_comes_from_workers_while_it_is_recognised(archive: Path) -> None:
    files = [str(archive / "0" / "espeak_01.wav"), str(archive / "1" / "espeak_03.wav")]
    done = run_program(["transcribe", "--model", "demo", "--jobs", "2", *files])
    assert done.stdout.splitlines() == [
        f"==> {files[0]} <==",
        "Расскажи рецепт каши.",
        "Включи фильм фиксики.",
        f"==> {files[1]} <==",
        "Закрой шторы в спальне.",
    ]


def test_a_folder_that_fills_is_transcribed_as_it_does(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["transcribe", str(archive), "--model", "demo", "--jobs", "1", "--recursive", "--resume", "--watch"]
    process = subprocess.Popen(
        command(*arguments, "--output-dir", str(out)), stderr=subprocess.PIPE, env=clean_environment()
    )
    with process:
        try:
            wait_for(lambda: (out / "1" / "espeak_03.wav.txt").exists())
            shutil.copyfile(CLIPS / "espeak_03.wav", archive / "new.wav")
            wait_for(lambda: (out / "new.wav.txt").exists())
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        finally:
            process.kill()
    assert (out / "new.wav.txt").read_text("utf-8") == "Закрой шторы в спальне.\n"


@pytest.mark.parametrize("wrong", [["--watch"], ["--server-key", "k"], ["--server", "nowhere"], ["--jobs", "0"]])
def test_what_does_not_go_together_is_refused(archive: Path, wrong: list[str]) -> None:
    assert run_program(["transcribe", str(archive / "notes.txt"), *wrong]).returncode == 2
