"""A download's progress for people: one line that is drawn again on a terminal, a line a step elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from gigastt.models.disk import mib
from gigastt.models.progress import Snapshot

_REDRAW_SECONDS = 0.1
_STEP_PERCENT = 10
_BAR_WIDTH = 24


class ConsoleProgress:
    """Shows snapshots; give its `show` to `DownloadProgress`.

    Args:
        stream: where to write, usually standard error.
        clock: monotonic seconds.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._terminal = stream.isatty()
        self._drawn_at = float("-inf")
        self._step: tuple[str, int | str] | None = None
        self._stage = ""
        self._began = 0.0
        self._began_with = 0

    def __enter__(self) -> ConsoleProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal:
            self._write("")

    def show(self, snapshot: Snapshot) -> None:
        """Draw a snapshot, but not too often."""
        now = self._clock()
        if snapshot.stage != self._stage:
            self._stage, self._began, self._began_with = snapshot.stage, now, snapshot.done_bytes
        if self._terminal:
            if now - self._drawn_at >= _REDRAW_SECONDS:
                self._drawn_at = now
                self._write(self._line(snapshot, now))
            return
        tenth = None if snapshot.percent is None else snapshot.percent // _STEP_PERCENT
        step = (snapshot.stage, snapshot.subject if tenth is None else tenth)
        if step != self._step and snapshot.stage != "done":
            self._step = step
            self._stream.write(self._line(snapshot, now) + "\n")
            self._stream.flush()

    def _line(self, snapshot: Snapshot, now: float) -> str:
        if snapshot.percent is None:
            subject = f" {snapshot.subject}" if snapshot.subject else ""
            return f"{snapshot.describe()}{subject} …"
        done = _BAR_WIDTH * snapshot.percent // 100
        bar = "#" * done + "." * (_BAR_WIDTH - done)
        speed = (snapshot.done_bytes - self._began_with) / max(now - self._began, 0.001)
        return (
            f"{snapshot.stage} [{bar}] {snapshot.percent:3} %  {mib(snapshot.done_bytes)} of "
            f"{mib(snapshot.total_bytes)}, {mib(int(speed))}/s  {snapshot.subject}"
        )

    def _write(self, text: str) -> None:
        self._stream.write(f"\r\x1b[K{text}")
        self._stream.flush()
