"""Tests of the progress line."""

from __future__ import annotations

import io

import pytest

from gigastt.cli.progress import DownloadLine, ProgressBoard, fit, width_of
from gigastt.models.stages import Snapshot
from tests.fakes.terminal import Terminal


def test_nothing_is_drawn_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with ProgressBoard(stream).line("a.wav") as progress:
        progress.update(5.0, 0.5)
    assert stream.getvalue() == ""


def test_share_time_and_speed_are_drawn_and_taken_away() -> None:
    stream, times = Terminal(), [0.0]
    with ProgressBoard(stream, clock=lambda: times[-1]).line("a.wav") as progress:
        times.append(2.0)
        progress.update(3661.0, 0.51)
    drawn, cleared = stream.getvalue().split("\r\x1b[K")[1:]
    assert "51%" in drawn
    assert "1:01:01" in drawn
    assert "1830x" in drawn
    assert cleared == ""


def test_a_file_that_grows_never_passes_100_percent() -> None:
    stream = Terminal()
    with ProgressBoard(stream).line("a.wav") as progress:
        progress.update(50.0, 1.5)
    assert "100%" in stream.getvalue()


def test_drawing_is_rare() -> None:
    stream = Terminal()
    with ProgressBoard(stream, clock=lambda: 1.0).line("a.wav") as progress:
        for _ in range(100):
            progress.update(5.0, 0.5)
        assert stream.getvalue().count("\r") == 1


def test_several_files_have_a_line_each_and_one_above_them() -> None:
    stream, times = Terminal(), [0.0]
    board = ProgressBoard(stream, lambda: "[3/9]", clock=lambda: times[-1])
    with board.line("a.wav") as first, board.line("b.wav") as second:
        times.append(1.0)
        first.update(60.0, 0.5)
        times.append(2.0)
        second.update(30.0, 0.1)
    written = stream.getvalue()
    assert [text in written for text in ("[3/9] 0:01:00 60x", "[3/9] 0:01:30 45x", "a.wav", "b.wav")] == [True] * 4
    assert written.count("\x1b[A") == 2  # all three lines are taken away
    assert "\x1b[1A" in written


@pytest.mark.parametrize("columns", range(1, 100))
@pytest.mark.parametrize("label", ["a.wav", "запись-с-очень-длинным-именем-которое-не-помещается.wav", "録音" * 20])
def test_a_line_never_reaches_the_edge_of_the_terminal(columns: int, label: str) -> None:
    stream = Terminal()
    with ProgressBoard(stream, clock=lambda: 1.0, columns=lambda: columns).line(label) as progress:
        progress.update(3661.0, 0.5)
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
