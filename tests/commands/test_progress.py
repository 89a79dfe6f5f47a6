"""Tests of the progress line."""

from __future__ import annotations

import io

from gigastt.commands.progress import ProgressLine
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
