"""Progress for people, on standard error: one line that is drawn again on a terminal.

Clear the line before printing anything else to the terminal.
"""

from __future__ import annotations

import os
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self, TextIO

from gigastt.models.room import in_mib
from gigastt.models.stages import Snapshot

_REDRAW_SECONDS = 0.1
_BAR_WIDTH = 24
_STEP_PERCENT = 10
_USUAL_COLUMNS = 80
_ANY_WIDTH = 10_000
_LEAST_LABEL = 8  # columns below which a piece of a name tells nothing


class _Line:
    """A line of a terminal, drawn again now and then and taken away at the end; nothing elsewhere.

    Args:
        stream: the terminal, or a log file.
        clock: monotonic seconds.
        columns: tells how wide the terminal is; a longer line would not be taken away whole.
    """

    def __init__(
        self, stream: TextIO, clock: Callable[[], float] = time.monotonic, columns: Callable[[], int] | None = None
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._columns = columns or (lambda: columns_of(stream))
        self._visible = stream.isatty()
        self._drawn_at = float("-inf")
        self._began = clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Take the line away, so that other output can use it."""
        if self._visible:
            self._write("\r\x1b[K")
            self._drawn_at = float("-inf")

    def _draw(self, make: Callable[[float], str]) -> None:
        """Draw the line that `make` returns for the seconds since the beginning, but not too often."""
        now = self._clock()
        if self._visible and now - self._drawn_at >= _REDRAW_SECONDS:
            self._drawn_at = now
            self._write(f"\r\x1b[K{make(max(now - self._began, 0.001))}")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class ProgressBoard(_Line):
    """A line for each file that is being transcribed, and one for all above them: how much is done, and how fast.

    Args:
        headline: says how many files are done; None where there is one.
    """

    def __init__(
        self,
        stream: TextIO,
        headline: Callable[[], str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        columns: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(stream, clock, columns)
        self._headline = headline
        self._files: list[FileProgress] = []
        self._seconds = 0.0  # of files that are done
        self._drawn = 0  # lines there are

    @contextmanager
    def line(self, label: str) -> Iterator[FileProgress]:
        """Show a file while the body runs."""
        file = FileProgress(label, self._clock(), self._redraw)
        self._files.append(file)
        try:
            yield file
        finally:
            self._files.remove(file)
            self._seconds += file.seconds
            self.clear()

    def clear(self) -> None:
        """Take all lines away."""
        if self._drawn > 1:
            self._write("\x1b[A\r\x1b[K" * (self._drawn - 1))
        self._drawn = 0
        super().clear()

    def _redraw(self) -> None:
        def lines(elapsed: float) -> str:
            now, width = self._clock(), self._columns() - 1
            texts = [file.text(now, width) for file in self._files if file.seconds or len(self._files) == 1]
            if self._headline is not None:
                total = self._seconds + sum(file.seconds for file in self._files)
                texts.insert(0, cut(f"{self._headline()} {_clock_text(total)} {total / elapsed:.0f}x", width))
            up = f"\x1b[{self._drawn - 1}A\r\x1b[K" if self._drawn > 1 else ""
            texts += [""] * (self._drawn - len(texts))
            self._drawn = len(texts)
            return up + "\n\r\x1b[K".join(texts)

        self._draw(lines)


class FileProgress:
    """One file of a board."""

    def __init__(self, label: str, began: float, redraw: Callable[[], None]) -> None:
        self.seconds = 0.0
        self._label = label
        self._began = began
        self._redraw = redraw
        self._share = 0.0

    def update(self, seconds: float, share: float) -> None:
        """Draw anew: so many seconds of the audio are done, and so much of the file, 0 to 1."""
        self.seconds, self._share = seconds, min(share, 1.0)
        self._redraw()

    def text(self, now: float, columns: int) -> str:
        """Return its line."""
        speed = self.seconds / max(now - self._began, 0.001)
        figures = f"{self._share:4.0%} {_clock_text(self.seconds)} {speed:.0f}x"
        return fit(self._label, _bar(self._share), figures, columns)


class DownloadLine(_Line):
    """How far a download is; without a terminal, a plain line for every tenth and every step."""

    _step: tuple[str, int | str] | None = None
    _stage = ""
    _began_with = 0

    def show(self, snapshot: Snapshot) -> None:
        """Draw a snapshot; give this to `DownloadProgress`."""
        if snapshot.stage != self._stage:
            self._stage, self._began, self._began_with = snapshot.stage, self._clock(), snapshot.done_bytes
            self._drawn_at = float("-inf")  # shown at once: it may last
        self._draw(lambda elapsed: self._text(snapshot, elapsed, self._columns() - 1))
        tenth = None if snapshot.percent is None else snapshot.percent // _STEP_PERCENT
        step = (snapshot.stage, snapshot.subject if tenth is None else tenth)
        if not self._visible and step != self._step and snapshot.stage != "done":
            self._step = step
            self._write(self._text(snapshot, max(self._clock() - self._began, 0.001), _ANY_WIDTH) + "\n")

    def _text(self, snapshot: Snapshot, elapsed: float, columns: int) -> str:
        if snapshot.percent is None:
            return cut(" ".join(filter(None, (snapshot.describe(), snapshot.subject, "…"))), columns)
        speed = in_mib(int((snapshot.done_bytes - self._began_with) / elapsed))
        done = f"{in_mib(snapshot.done_bytes)} of {in_mib(snapshot.total_bytes)}"
        bar, figures = _bar(snapshot.percent / 100), f"{snapshot.percent:3} %  {done}, {speed}/s"
        whole = f"{snapshot.stage} {bar} {figures}  {snapshot.subject}"
        return whole if width_of(whole) <= columns else fit(snapshot.stage, bar, figures, columns)


def fit(label: str, bar: str, figures: str, columns: int) -> str:
    """Join the parts of a line; if they do not fit, leave out the bar first, then the beginning of the label."""
    for text in (f"{label} {bar} {figures}", f"{label} {figures}"):
        if width_of(text) <= columns:
            return text
    room = columns - width_of(figures) - 1
    if room < _LEAST_LABEL:
        return cut(figures, columns)
    while width_of(label) > room - 1:
        label = label[1:]
    return f"…{label} {figures}"


def cut(text: str, columns: int) -> str:
    """Leave out the end of a text that is too long."""
    while width_of(text) > columns:
        text = text[:-1]
    return text


def width_of(text: str) -> int:
    """Return how many columns a text takes on a terminal."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def columns_of(stream: TextIO) -> int:
    """Return the columns of the terminal behind a stream; 80 if it does not tell."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL_COLUMNS
    except (OSError, ValueError):
        return _USUAL_COLUMNS


def _bar(share: float) -> str:
    done = int(share * _BAR_WIDTH)
    return f"[{'#' * done}{'.' * (_BAR_WIDTH - done)}]"


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
