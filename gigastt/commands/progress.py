"""Progress for people, on standard error: one line that is drawn again on a terminal.

Whoever prints to standard output meanwhile clears the line first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from gigastt.models.disk import mib
from gigastt.models.progress import Snapshot

_REDRAW_SECONDS = 0.1
_BAR_WIDTH = 24
_STEP_PERCENT = 10


class _Line:
    """A line of a terminal, drawn again now and then and taken away at the end; nothing elsewhere.

    Args:
        stream: where to draw.
        clock: monotonic seconds.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
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
        self, stream: TextIO, label: str, share: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(stream, clock)
        self._label = label
        self._share = share
        self._started = clock()

    def update(self, seconds: float) -> None:
        """Draw anew: `seconds` of the audio are done."""

        def line(now: float) -> str:
            share = min(self._share(), 1.0)
            speed = seconds / max(now - self._started, 0.001)
            return f"{self._label} {_bar(share)} {share:4.0%} {_clock_text(seconds)} {speed:.0f}x"

        self._draw(line)


class DownloadLine(_Line):
    """How far a download is; where there is no terminal, a plain line for every tenth and every step."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream, clock)
        self._step: tuple[str, int | str] | None = None
        self._stage = ""
        self._began = 0.0
        self._began_with = 0

    def show(self, snapshot: Snapshot) -> None:
        """Draw a snapshot; give this to `DownloadProgress`."""
        if snapshot.stage != self._stage:
            self._stage, self._began, self._began_with = snapshot.stage, self._clock(), snapshot.done_bytes
        self._draw(lambda now: self._text(snapshot, now))
        tenth = None if snapshot.percent is None else snapshot.percent // _STEP_PERCENT
        step = (snapshot.stage, snapshot.subject if tenth is None else tenth)
        if not self._visible and step != self._step and snapshot.stage != "done":
            self._step = step
            self._stream.write(self._text(snapshot, self._clock()) + "\n")
            self._stream.flush()

    def _text(self, snapshot: Snapshot, now: float) -> str:
        if snapshot.percent is None:
            subject = f" {snapshot.subject}" if snapshot.subject else ""
            return f"{snapshot.describe()}{subject} …"
        speed = (snapshot.done_bytes - self._began_with) / max(now - self._began, 0.001)
        return (
            f"{snapshot.stage} {_bar(snapshot.percent / 100)} {snapshot.percent:3} %  {mib(snapshot.done_bytes)} of "
            f"{mib(snapshot.total_bytes)}, {mib(int(speed))}/s  {snapshot.subject}"
        )


def _bar(share: float) -> str:
    done = int(share * _BAR_WIDTH)
    return f"[{'#' * done}{'.' * (_BAR_WIDTH - done)}]"


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
