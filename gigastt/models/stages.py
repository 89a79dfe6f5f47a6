"""The stages of a download: told by the thread that works, seen by a terminal, a log or `/ready`.

A server's own copy lives on the event loop and repeats what the fetching process reports.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

Stage: TypeAlias = Literal["waiting", "checking", "contacting", "downloading", "optimizing", "done"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a download; bytes count within the stage."""

    stage: Stage = "checking"
    subject: str = ""
    done_bytes: int = 0
    total_bytes: int = 0

    @property
    def percent(self) -> int | None:
        """Whole percent of this stage, or None if there is nothing to count."""
        return min(100, 100 * self.done_bytes // self.total_bytes) if self.total_bytes > 0 else None

    def describe(self) -> str:
        """Return one phrase for `/ready` and the log: `downloading 37 %`."""
        if self.stage == "waiting":
            return "waiting for another process that downloads"
        return self.stage if self.percent is None else f"{self.stage} {self.percent} %"


class DownloadProgress:
    """A download's current snapshot.

    Args:
        observe: called after every change; must be quick.
    """

    def __init__(self, observe: Callable[[Snapshot], None] = lambda snapshot: None) -> None:
        self._observe = observe
        self.snapshot = Snapshot()

    def describe(self) -> str:
        return self.snapshot.describe()

    def begin(self, stage: Stage, subject: str = "", *, total_bytes: int = 0, done_bytes: int = 0) -> None:
        """Enter a stage."""
        self.publish(Snapshot(stage, subject, done_bytes, total_bytes))

    def advance(self, count: int) -> None:
        """Count bytes of this stage (negative if bytes had to be thrown away)."""
        self.publish(replace(self.snapshot, done_bytes=self.snapshot.done_bytes + count))

    def turn_to(self, subject: str) -> None:
        """Name the file that is being worked on."""
        self.publish(replace(self.snapshot, subject=subject))

    def publish(self, snapshot: Snapshot) -> None:
        """Replace the snapshot; also how a parent process repeats what its child reports."""
        self.snapshot = snapshot
        self._observe(snapshot)
