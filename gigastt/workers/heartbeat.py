"""The heartbeat: what a worker says of itself, from the thread that does its work.

Counts what was done between two beats. `now` is an argument; the memory reading is a function given to it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from gigastt.ipc.messages import PassRecord, Stats

BEAT_SECONDS = 0.4  # half a second is promised; waking up takes its time on a busy machine
MEMORY_SECONDS = 10.0  # between two readings: the kernel walks all pages of the process for one
_ROLLUP = Path("/proc/self/smaps_rollup")
_STATM = Path("/proc/self/statm")


class Heartbeat:
    """Makes a `Stats` when one is due."""

    def __init__(self, now: float, read_memory: Callable[[], int]) -> None:
        self._read_memory = read_memory
        self._memory = read_memory()
        self._memory_at = now
        self._beat_at = now
        self._listening = 0.0
        self._passes: list[PassRecord] = []

    def record(self, listening: float, made: PassRecord | None) -> None:
        """Note a step: how long it took what had come, and the pass that it ran, if any."""
        self._listening += listening
        if made is not None:
            self._passes.append(made)

    def seconds_left(self, now: float) -> float:
        """Return the seconds until a beat is due; 0 when it is."""
        return max(0.0, self._beat_at + BEAT_SECONDS - now)

    def beat(self, now: float, streams: int) -> Stats:
        """Return what was done since the last beat, and begin anew."""
        if now - self._memory_at >= MEMORY_SECONDS:
            self._memory, self._memory_at = self._read_memory(), now
        stats = Stats(streams, self._listening, self._memory, self._passes)
        self._beat_at, self._listening, self._passes = now, 0.0, []
        return stats


def read_memory() -> int:
    """Return this process's share of memory (PSS), in bytes; its resident set where the kernel does not tell."""
    try:
        for line in _ROLLUP.read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
        return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
