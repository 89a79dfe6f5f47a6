"""Progress for people, on standard error: one line that is drawn again on a terminal.

Whoever prints to standard output meanwhile clears the line first.
"""

from __future__ import annotations

import os
import time
import unicodedata
from collections.abc import Callable
from types import TracebackType
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
        stream: where to draw.
        clock: monotonic seconds.
        columns: tells how wide the terminal is; a longer line would not be taken away whole.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float], columns: Callable[[], int] | None) -> None:
        self._stream = stream
        self._clock = clock
        self._columns = columns or (lambda: columns_of(stream))
        self._visible = stream.isatty()
        self._drawn_at = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def clear(self) -> None:
        """Take the line away, so that other output can use it."""
        if self._visible:
            self._write("")
            self._drawn_at = float("-inf")

    def _draw(self, make: Callable[[float], str]) -> None:
        """Draw what `make` makes of the time, but not too often."""
        now = self._clock()
        if self._visible and now - self._drawn_at >= _REDRAW_SECONDS:
            self._drawn_at = now
            self._write(make(now))

    def _write(self, text: str) -> None:
        self._stream.write(f"\r\x1b[K{text}")
        self._stream.flush()


class ProgressLine(_Line):
    """How much of a file is transcribed, and how fast.

    Args:
        label: what is being worked on.
        share: tells how much of the file has been read, 0 to 1.
    """

    def __init__(
        self,
        stream: TextIO,
        label: str,
        share: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
        columns: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(stream, clock, columns)
        self._label = label
        self._share = share
        self._started = clock()

    def update(self, seconds: float) -> None:
        """Draw anew: `seconds` of the audio are done."""

        def line(now: float) -> str:
            share = min(self._share(), 1.0)
            speed = seconds / max(now - self._started, 0.001)
            figures = f"{share:4.0%} {_clock_text(seconds)} {speed:.0f}x"
            return fit(self._label, _bar(share), figures, self._columns() - 1)

        self._draw(line)


class DownloadLine(_Line):
    """How far a download is; where there is no terminal, a plain line for every tenth and every step."""

    def __init__(
        self,
        stream: TextIO,
        clock: Callable[[], float] = time.monotonic,
        columns: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(stream, clock, columns)
        self._step: tuple[str, int | str] | None = None
        self._stage = ""
        self._began = 0.0
        self._began_with = 0

    def show(self, snapshot: Snapshot) -> None:
        """Draw a snapshot; give this to `DownloadProgress`."""
        if snapshot.stage != self._stage:
            self._stage, self._began, self._began_with = snapshot.stage, self._clock(), snapshot.done_bytes
            self._drawn_at = float("-inf")  # shown at once: it may last
        self._draw(lambda now: self._text(snapshot, now, self._columns() - 1))
        tenth = None if snapshot.percent is None else snapshot.percent // _STEP_PERCENT
        step = (snapshot.stage, snapshot.subject if tenth is None else tenth)
        if not self._visible and step != self._step and snapshot.stage != "done":
            self._step = step
            self._stream.write(self._text(snapshot, self._clock(), _ANY_WIDTH) + "\n")
            self._stream.flush()

    def _text(self, snapshot: Snapshot, now: float, columns: int) -> str:
        if snapshot.percent is None:
            return cut(" ".join(filter(None, (snapshot.describe(), snapshot.subject, "…"))), columns)
        speed = (snapshot.done_bytes - self._began_with) / max(now - self._began, 0.001)
        figures = f"{snapshot.percent:3} %  {in_mib(snapshot.done_bytes)} of {in_mib(snapshot.total_bytes)}, {in_mib(int(speed))}/s"
        bar = _bar(snapshot.percent / 100)
        whole = f"{snapshot.stage} {bar} {figures}  {snapshot.subject}"
        return whole if width_of(whole) <= columns else fit(snapshot.stage, bar, figures, columns)


def fit(label: str, bar: str, figures: str, columns: int) -> str:
    """Join the parts of a line; where they do not fit, the bar goes first, then the beginning of the label."""
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
    """Columns that a text takes on a terminal."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def columns_of(stream: TextIO) -> int:
    """Columns of the terminal behind a stream; 80 where it does not tell."""
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
