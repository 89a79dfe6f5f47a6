"""`gigastt download` and `gigastt optimize` as people type them, and the progress they see."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from click.testing import CliRunner

from gigastt.cli.download import download
from gigastt.cli.main import run_command
from gigastt.cli.optimize import optimize
from gigastt.cli.progress import DownloadLine
from gigastt.models.catalog import ENCODER_FP32, GIGAAM, RemoteFile
from gigastt.models.room import SPARE_BYTES, needs_of
from gigastt.models.stages import Snapshot
from tests.fakes.terminal import Terminal


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_help_says_what_each_way_needs() -> None:
    text = " ".join(CliRunner().invoke(download, ["--help"], terminal_width=100).output.split())

    assert "--precision int8" in text
    assert "memory" in text
    assert "HF_ENDPOINT" in text


@pytest.mark.parametrize(
    ("encoder", "optimizing", "disk", "memory"),
    [
        (GIGAAM.encoder, True, "1.7 GB of disk", "3.8 GB of memory while it optimises"),
        (GIGAAM.encoder_int8, False, "--precision int8: 0.8 GB of disk", "0.6 GB of memory"),
        (GIGAAM.encoder, False, "--precision fp32 or --no-optimize: 2.8 GB of disk", "2.3 GB of memory"),
    ],
    ids=["auto", "int8", "fp32"],
)
def test_help_is_what_the_check_will_ask_for(encoder: RemoteFile, optimizing: bool, disk: str, memory: str) -> None:
    text = " ".join(CliRunner().invoke(download, ["--help"], terminal_width=100).output.split())
    needs = needs_of(encoder.nominal_bytes, optimizing=optimizing)
    others = sum(file.nominal_bytes for file in GIGAAM.common)
    told = [float(part.rpartition(" GB")[0].rpartition(" ")[2]) * 1e9 for part in (disk, memory)]

    assert disk in text
    assert memory in text
    assert told[0] - 0.1e9 < encoder.nominal_bytes + others + needs.disk + SPARE_BYTES <= told[0]
    assert told[1] - 0.1e9 < needs.memory <= told[1]


@pytest.mark.parametrize(
    "mirror", ["hub.example", "ftp://hub.example", "http://", "http://[::1", "http://hub.example:abc"]
)
def test_mirror_must_be_an_address(mirror: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["download", "--mirror", mirror]) == 2
    assert "expected http(s)://host" in capsys.readouterr().err


def test_demo_model_is_neither_downloaded_nor_optimised(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["download", "--model", "demo"]) == 2
    assert run_command(["optimize", "--model", "demo"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "needs no download" in lines[0]
    assert "nothing to optimise" in lines[1]


def test_optimising_what_is_not_there_names_the_download(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["quantize", "--model-dir", str(tmp_path)]) == 3
    assert "gigastt download" in capsys.readouterr().err


def test_unreachable_hub_is_one_line_and_exit_code_five(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    assert run_command(["download", "--no-optimize", "--model-dir", str(tmp_path)]) == 5
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"gigastt: {ENCODER_FP32} is not on this machine")


def test_every_command_has_its_name() -> None:
    assert (download.name, optimize.name) == ("download", "optimize")


def test_terminal_shows_one_line_drawn_again() -> None:
    stream, clock = Terminal(), Clock()

    with DownloadLine(stream, clock, columns=lambda: 100) as console:
        console.show(Snapshot("checking", "a.onnx"))
        clock.now = 1.0
        console.show(Snapshot("downloading", "a.onnx", 0, 100 << 20))
        clock.now = 3.0
        console.show(Snapshot("downloading", "a.onnx", 50 << 20, 100 << 20))
        console.show(Snapshot("downloading", "a.onnx", 51 << 20, 100 << 20))  # too soon to draw again

    drawn = stream.getvalue().split("\r\x1b[K")
    assert drawn[1] == "checking a.onnx …"
    assert drawn[3] == "downloading [############............]  50 %  50 MiB of 100 MiB, 25 MiB/s  a.onnx"
    assert drawn[4:] == [""]


def test_log_file_gets_a_line_for_every_tenth() -> None:
    stream = io.StringIO()

    with DownloadLine(stream, Clock()) as console:
        for done in range(1001):
            console.show(Snapshot("downloading", "a.onnx", done, 1000))
        console.show(Snapshot("done"))

    assert len(stream.getvalue().splitlines()) == 11
