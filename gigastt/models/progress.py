"""How far fetching a model has got: written by the thread that works, read by whoever wants to know.

The one object shared between a download and the outside. Reading takes a lock for a moment; `cancel` may be
called from any thread and ends the download at its next block. Knows no terminal and no HTTP.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from gigastt.errors import DownloadFailed

Stage: TypeAlias = Literal["waiting", "checking", "downloading", "optimizing", "done"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a download; bytes count within the stage."""

    stage: Stage = "checking"
    subject: str = ""
    done_bytes: int = 0
    total_bytes: int = 0

    @property
    def percent(self) -> int | None:
        """Whole percent of this stage, or None where there is nothing to count."""
        if self.total_bytes <= 0:
            return None
        return min(100, 100 * self.done_bytes // self.total_bytes)

    def describe(self) -> str:
        """One phrase for `/ready` and the log: `downloading 37 %`."""
        if self.stage == "waiting":
            return "waiting for another process that downloads"
        return self.stage if self.percent is None else f"{self.stage} {self.percent} %"

    def to_dict(self) -> dict[str, Any]:
        """The fields, for a line of JSON."""
        return asdict(self)


class DownloadProgress:
    """A download's current snapshot, and the way to stop it.

    Args:
        observe: called after every change, from the working thread; must be quick.
    """

    def __init__(self, observe: Callable[[Snapshot], None] | None = None) -> None:
        self._observe = observe
        self._lock = threading.Lock()
        self._snapshot = Snapshot()
        self._cancelled = threading.Event()

    def snapshot(self) -> Snapshot:
        """The state at this moment."""
        with self._lock:
            return self._snapshot

    def describe(self) -> str:
        """One phrase: `downloading 37 %`."""
        return self.snapshot().describe()

    def begin(self, stage: Stage, *, subject: str = "", total_bytes: int = 0, done_bytes: int = 0) -> None:
        """Enter a stage."""
        self.publish(Snapshot(stage, subject, done_bytes, total_bytes))

    def advance(self, count: int) -> None:
        """Count bytes of this stage (negative where bytes had to be thrown away).

        Raises:
            DownloadFailed: somebody has called `cancel`.
        """
        self.check_cancelled()
        now = self.snapshot()
        self.publish(Snapshot(now.stage, now.subject, now.done_bytes + count, now.total_bytes))

    def turn_to(self, subject: str) -> None:
        """Name the file that is being worked on."""
        now = self.snapshot()
        self.publish(Snapshot(now.stage, subject, now.done_bytes, now.total_bytes))

    def publish(self, snapshot: Snapshot) -> None:
        """Replace the snapshot; also how a parent process repeats what its child reports."""
        with self._lock:
            self._snapshot = snapshot
        if self._observe is not None:
            self._observe(snapshot)

    def cancel(self) -> None:
        """Ask the download to stop; what has arrived is kept and used by the next one."""
        self._cancelled.set()

    def check_cancelled(self) -> None:
        """Stop here where `cancel` was called.

        Raises:
            DownloadFailed: it was.
        """
        if self._cancelled.is_set():
            raise DownloadFailed("The download was stopped. What has arrived is kept: the next one goes on there.")

    def pause(self, seconds: float) -> None:
        """Wait, but no longer than until `cancel`."""
        self._cancelled.wait(seconds)
        self.check_cancelled()
