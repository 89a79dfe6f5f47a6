"""Tests of the command line's front door: help, unknown commands, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

from gigastt import __version__
from gigastt.cli.main import COMMANDS, run_command


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([]) == 2
    assert "transcribe" in capsys.readouterr().err


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([name, "--help"]) == 0
    assert f"gigastt {name}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


def test_the_distribution_has_a_name_of_its_own() -> None:
    assert version("gigastt-server") == __version__
    commands = [entry for entry in entry_points(group="console_scripts") if entry.name == "gigastt"]
    assert "gigastt-server" in {command.dist.name for command in commands if command.dist is not None}


def test_an_unknown_command_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["listen"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "listen" in error


@pytest.mark.slow
def test_help_loads_neither_numpy_nor_onnxruntime() -> None:
    code = (
        "import sys\nfrom gigastt.cli.main import run_command\nrun_command(['--help'])\n"
        "sys.exit(any(name in sys.modules for name in ('numpy', 'onnxruntime', 'av', 'starlette')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_the_module_is_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gigastt", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert __version__ in done.stdout


@pytest.mark.slow
def test_the_module_loads_nothing_from_the_current_directory(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('the stray module ran')", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "gigastt", "doctor", "--model", "demo", "--port", "0"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [None, "3"])
def test_numerical_libraries_start_no_threads_unless_the_user_wants_some(wanted: str | None) -> None:
    code = (
        "import os, sys, atexit\nfrom gigastt.cli.main import main\nsys.argv = ['gigastt', '--version']\n"
        "atexit.register(lambda: print(os.environ['OPENBLAS_NUM_THREADS']))\nmain()"
    )
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment |= {"OPENBLAS_NUM_THREADS": wanted} if wanted else {}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True, text=True)
    assert done.stdout.splitlines()[-1] == (wanted or "1")
