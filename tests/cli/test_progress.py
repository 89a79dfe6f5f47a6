"""Tests of the progress line."""

from __future__ import annotations

import io

import pytest

from gigastt.cli.progress import DownloadLine, ProgressLine, fit, width_of
from gigastt.models.stages import Snapshot
from tests.fakes.terminal import Terminal


def test_nothing_is_drawn_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with ProgressLine(stream, "a.wav", lambda: 0.5) as progress:
        progress.update(5.0)
    assert stream.getvalue() == ""


def test_share_time_and_speed_are_drawn_and_taken_away() -> None:
    stream, times = Terminal(), iter([0.0, 2.0])
    with ProgressLine(stream, "a.wav", lambda: 0.51, clock=lambda: next(times)) as progress:
        progress.update(3661.0)
    drawn, cleared = stream.getvalue().split("\r\x1b[K")[1:]
    assert "51%" in drawn
    assert "1:01:01" in drawn
    assert "1830x" in drawn
    assert cleared == ""


def test_a_file_that_grows_never_passes_100_percent() -> None:
    stream = Terminal()
    with ProgressLine(stream, "a.wav", lambda: 1.5) as progress:
        progress.update(50.0)
    assert "100%" in stream.getvalue()


def test_drawing_is_rare() -> None:
    stream = Terminal()
    progress = ProgressLine(stream, "a.wav", lambda: 0.5, clock=lambda: 1.0)
    for _ in range(100):
        progress.update(5.0)
    assert stream.getvalue().count("\r") == 1


@pytest.mark.parametrize("columns", range(1, 100))
@pytest.mark.parametrize("label", ["a.wav", "запись-с-очень-длинным-именем-которое-не-помещается.wav", "録音" * 20])
def test_a_line_never_reaches_the_edge_of_the_terminal(columns: int, label: str) -> None:
    stream = Terminal()
    with ProgressLine(stream, label, lambda: 0.5, clock=lambda: 1.0, columns=lambda: columns) as progress:
        progress.update(3661.0)
    drawn, _ = stream.getvalue().split("\r\x1b[K")[1:]
    assert width_of(drawn) < columns
    assert (" 50%" in drawn) == (columns > 4)


@pytest.mark.parametrize(
    ("columns", "drawn"),
    [
        (80, "talk.wav [############............]  50% 0:01:05 65000x"),
        (45, "talk.wav  50% 0:01:05 65000x"),
        (29, "talk.wav  50% 0:01:05 65000x"),
        (28, " 50% 0:01:05 65000x"),
    ],
)
def test_on_a_narrow_terminal_the_figures_stay(columns: int, drawn: str) -> None:
    assert fit("talk.wav", "[############............]", " 50% 0:01:05 65000x", columns - 1) == drawn


@pytest.mark.parametrize("columns", range(1, 100))
def test_a_download_fits_too(columns: int) -> None:
    stream = Terminal()
    with DownloadLine(stream, lambda: 1.0, columns=lambda: columns) as line:
        line.show(Snapshot("contacting", "https://huggingface.co"))
        line.show(Snapshot("downloading", "v3_e2e_rnnt_encoder.onnx", 50 << 20, 844 << 20))
    assert all(width_of(drawn) < columns for drawn in stream.getvalue().split("\r\x1b[K"))
