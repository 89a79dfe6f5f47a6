"""Vitals: tell a worker that hangs from one that works hard or is starved of CPU.

A core without I/O or clock: what was heard and what the kernel says about the process go in, a verdict comes
out. Owned by the pool's watch, one per worker.

A worker's working thread sends something at least every half second, except while it is inside one encoder
pass. A long pass and an endless loop look the same from outside, until the pass has used more CPU time than
any pass may. So silence is judged by what the process did in it:

- stopped (SIGSTOP, a debugger): hung after `SILENCE_SECONDS`;
- sleeping between two pieces of work, without using CPU: hung after `SILENCE_SECONDS` (a live one wakes to send its
  heartbeat);
- sleeping inside a pass (it waits for an accelerator): hung after four times what the longest pass usually takes by
  the clock;
- running: hung when the CPU time used since it was last heard exceeds the allowance for one pass, which is
  twice what the longest pass, a 20 s window or as many as the worker takes at once, would take at the slowest rate of
  its recent passes.

CPU time, not wall time: a worker that waits for a core among others uses none and is never killed for it. The rates are
this worker's own, from those passes on that it timed before it was ready; so a slow machine gets the time it needs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Literal, TypeAlias

from gigastt.ipc.messages import PassRecord

SILENCE_SECONDS = 1.4
LONGEST_WINDOW_SECONDS = 20.5
LEAST_ALLOWANCE = 1.4
_IDLE_CPU_SECONDS = 0.05
_TELLING_SECONDS = 2.0  # a shorter pass is mostly overhead and says little about a long one

Verdict: TypeAlias = Literal["alive", "stopped", "stalled"]


@dataclass(frozen=True, slots=True)
class ProcessState:
    """The kernel's view of a process: its state's letter as in /proc/PID/stat, and CPU seconds used in all threads."""

    letter: str
    cpu_seconds: float


class Vitals:
    """Signs of life of one worker, from the moment it is ready."""

    def __init__(self, now: float, passes: Iterable[PassRecord], width: int = 1) -> None:
        """Args:
        now: seconds of any monotonic clock.
        passes: those that the worker timed before it was ready.
        width: windows of full length that one pass may hold.
        """
        self._longest = width * LONGEST_WINDOW_SECONDS
        self._heard_at = now
        self._cpu_at_heard: float | None = None
        self._cpu_rates: deque[float] = deque(maxlen=32)
        self._clock_rates: deque[float] = deque(maxlen=32)
        self.passes(passes)

    def heard(self, now: float) -> None:
        """The working thread sent something."""
        self._heard_at = now
        self._cpu_at_heard = None

    def passes(self, records: Iterable[PassRecord]) -> None:
        """Learn from passes how long the longest may take."""
        for record in records:
            if record.audio_seconds >= _TELLING_SECONDS:
                self._cpu_rates.append(record.cpu_seconds / record.audio_seconds)
                self._clock_rates.append(record.seconds / record.audio_seconds)

    @property
    def allowance(self) -> float:
        """CPU seconds one silence may cost."""
        return max(LEAST_ALLOWANCE, 2 * max(self._cpu_rates, default=0.0) * self._longest)

    @property
    def patience(self) -> float:
        """Seconds by the clock that a pass may take which uses no CPU."""
        usual = median(self._clock_rates) if self._clock_rates else 0.0  # one pass on a busy machine may take any time
        return max(SILENCE_SECONDS, 4 * usual * self._longest)

    def excuse(self, seconds: float) -> None:
        """The gateway itself was late by this much: silence in that time says nothing."""
        self._heard_at += seconds

    def judge(self, state: ProcessState, now: float, *, in_pass: bool) -> Verdict:
        """Look at the process; call this a few times a second.

        Args:
            state: what the kernel says.
            now: as in the constructor.
            in_pass: whether the worker says that it is in the middle of a piece of work.
        """
        if self._cpu_at_heard is None:
            self._cpu_at_heard = state.cpu_seconds
        used = state.cpu_seconds - self._cpu_at_heard
        silence = now - self._heard_at
        if used > self.allowance:
            return "stalled"
        if silence < SILENCE_SECONDS:
            return "alive"
        if state.letter in "Tt":
            return "stopped"
        if state.letter == "S" and used < _IDLE_CPU_SECONDS and silence >= (self.patience if in_pass else 0.0):
            return "stalled"
        return "alive"
