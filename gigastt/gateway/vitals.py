"""Vitals: tell a worker that hangs from one that works hard or is starved of CPU.

A core without I/O or clock: what was heard and what the kernel says about the process go in, a verdict comes
out. Owned by the pool's watch, one per worker.

A worker's working thread sends something at least every half second, except while it is inside one encoder
pass. A long pass and an endless loop look the same from outside, until the pass has used more CPU time than
any pass may. So silence is judged by what the process did in it:

- stopped (SIGSTOP, a debugger): hung after `SILENCE_SECONDS`;
- sleeping, without using CPU: hung after `SILENCE_SECONDS` (a live one wakes to send its heartbeat);
- running: hung when the CPU time used since it was last heard exceeds the allowance for one pass, which is
  twice what a 20 s window would take at the slowest rate of this worker's recent passes.

CPU time, not wall time: a worker that waits for a core among others uses none and is never killed for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gigastt.ipc.messages import PassRecord

SILENCE_SECONDS = 1.4
LONGEST_WINDOW_SECONDS = 20.5
LEAST_ALLOWANCE = 1.4
DEFAULT_ALLOWANCE = 5.0  # before any pass was seen: a 20 s window in fp32 on a slow machine takes 4 s
MOST_ALLOWANCE = 15.0
_IDLE_CPU_SECONDS = 0.05
_TELLING_SECONDS = 2.0  # a shorter pass is mostly overhead and says little about a long one

Verdict: TypeAlias = Literal["alive", "stopped", "stalled"]


@dataclass(frozen=True, slots=True)
class ProcessState:
    """What the kernel says: the state's letter as in /proc/PID/stat, and CPU seconds used in all threads."""

    letter: str
    cpu_seconds: float


class Vitals:
    """One worker's signs of life."""

    def __init__(self, now: float) -> None:
        self._heard_at = now
        self._cpu_at_heard: float | None = None
        self._rates: deque[float] = deque(maxlen=32)  # seconds of work per second of audio

    def heard(self, now: float) -> None:
        """The working thread sent something."""
        self._heard_at = now
        self._cpu_at_heard = None

    def passes(self, records: Iterable[PassRecord]) -> None:
        """Learn from passes how long the longest may take."""
        for record in records:
            if record.audio_seconds >= _TELLING_SECONDS:
                self._rates.append(record.seconds / record.audio_seconds)

    @property
    def allowance(self) -> float:
        """CPU seconds one silence may cost."""
        if not self._rates:
            return DEFAULT_ALLOWANCE
        return min(MOST_ALLOWANCE, max(LEAST_ALLOWANCE, 2 * max(self._rates) * LONGEST_WINDOW_SECONDS))

    def excuse(self, seconds: float) -> None:
        """The gateway itself was late by this much: silence in that time says nothing."""
        self._heard_at += seconds

    def judge(self, state: ProcessState, now: float) -> Verdict:
        """Look at the process; call this a few times a second."""
        if self._cpu_at_heard is None:
            self._cpu_at_heard = state.cpu_seconds
        used = state.cpu_seconds - self._cpu_at_heard
        if used > self.allowance:
            return "stalled"
        if now - self._heard_at < SILENCE_SECONDS:
            return "alive"
        if state.letter in "Tt":
            return "stopped"
        if state.letter == "S" and used < _IDLE_CPU_SECONDS:
            return "stalled"
        return "alive"
