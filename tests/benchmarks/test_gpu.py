"""The benchmark of cards runs whole where a processor stands in, and refuses where nothing does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from gigastt.errors import ProviderMissing
from gigastt.models.catalog import FileNames
from gigastt.models.store import resolve

NAMES = FileNames()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.gpu", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_one_command_measures_all_with_a_processor_standing_in(tmp_path: Path) -> None:
    demo = resolve("demo", tmp_path)
    for path in demo.paths:
        shutil.copy(path, tmp_path)
    short = ["--windows", "2", "--rounds", "1", "--clips", "6", "--minutes", "1", "--seconds", "6"]

    done = run("--stand-in", "--model-dir", str(tmp_path), *short)

    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout)
    assert (tmp_path / NAMES.halved).exists()
    assert figures["encoder"]["takes_padding"]
    assert figures["encoder"]["error"] < 0.01
    assert {each["rows"] for each in figures["encoder"]["passes"]} == {1, 32}
    assert figures["file"]["windows_a_pass"] > 1
    assert figures["words"]["equal"] == figures["words"]["clips"] == 6
    assert figures["live"]["sessions"] > 0
    assert set(figures["seconds"]) == {"model", "16 bits", "encoder", "file", "words", "live"}


def test_without_a_card_it_says_what_is_missing() -> None:
    done = run()
    assert (done.returncode, done.stdout) == (ProviderMissing.exit_code, "")
    assert "onnxruntime-gpu" in done.stderr
