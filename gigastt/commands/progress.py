"""A progress line on a terminal: how much of a file is transcribed, and how fast.

Written to standard error, and only if that is a terminal; whoever prints to standard output clears it first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

_REDRAW_SECONDS = 0.1
_BAR_WIDTH = 24


class ProgressLine:
    """One file's progress.

    Args:
        stream: where to draw; nothing is drawn unless it is a terminal.
        label: what is being worked on.
        share: tells how much of the file has been read, 0 to 1.
        clock: monotonic seconds.
    """

    def __init__(
        self, stream: TextIO, label: str, share: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._label = label
        self._share = share
        self._clock = clock
        self._visible = stream.isatty()
        self._started = clock()
        self._drawn_at = float("-inf")

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def update(self, seconds: float) -> None:
        """Draw anew: `seconds` of the audio are done."""
        now = self._clock()
        if not self._visible or now - self._drawn_at < _REDRAW_SECONDS:
            return
        self._drawn_at = now
        speed = seconds / max(now - self._started, 0.001)
        self._write(f"{self._label} {self._bar()} {_clock_text(seconds)} {speed:.0f}x")

    def clear(self) -> None:
        """Take the line away, so that other output can use it."""
        if self._visible:
            self._write("")
            self._drawn_at = float("-inf")

    def _bar(self) -> str:
        share = min(self._share(), 1.0)
        done = round(share * _BAR_WIDTH)
        return f"[{'#' * done}{'.' * (_BAR_WIDTH - done)}] {share:4.0%}"

    def _write(self, text: str) -> None:
        self._stream.write(f"\r\x1b[K{text}")
        self._stream.flush()


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
