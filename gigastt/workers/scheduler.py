"""The order of work in a worker: whose window is encoded next.

Finals first; of those, the ones of streams that keep up: streams for which more audio waits than a microphone gives
have one final in four while others want any. Then partials: of utterances without a word yet, then of the streams that
have waited longest, at a cadence that stretches with the load. Then files, which are promised one pass in four when
live work is waiting, and every pass when none is.
Pure: no clock, no queue, no stream; `engine` asks and tells.
"""

from __future__ import annotations

from enum import Enum

MIN_PARTIAL_SECONDS = 0.3  # cadence of one stream's partials on an idle worker
FIRST_PARTIAL_SECONDS = 0.1  # the same before the first word: windows are short, and somebody waits for a sign
FIRST_COST = 0.3  # of the usual cost: these windows are a second long, not four
PARTIAL_SHARE = 0.8  # of the worker's time that partials may take; finals come first all the same
LIVE_PASSES_PER_FILE_PASS = 3
FINALS_PER_LAGGING_FINAL = 3
_LEARNING_RATE = 0.2


class Turn(Enum):
    """The kinds of passes."""

    FINAL = "final"
    PARTIAL = "partial"
    FILE = "file"


class Scheduler:
    """The order of passes, and the time between two partials of a stream."""

    def __init__(self) -> None:
        self._live_passes = 0  # since a file last had its turn
        self._finals = 0  # since a stream that lags last had one
        self._partial_seconds = 0.0  # what a partial costs, smoothed

    def next_turn(self, *, finals: bool, partials: bool, files: bool) -> Turn | None:
        """Choose between the kinds of work that are waiting."""
        if files and (self._live_passes >= LIVE_PASSES_PER_FILE_PASS or not (finals or partials)):
            return Turn.FILE
        if finals:
            return Turn.FINAL
        return Turn.PARTIAL if partials else None

    def next_lags(self, *, keeping_up: bool, lagging: bool) -> bool:
        """Choose between finals of streams that keep up and of streams that lag; at least one kind waits."""
        lags = lagging and (not keeping_up or self._finals >= FINALS_PER_LAGGING_FINAL)
        self._finals = 0 if lags else self._finals + 1
        return lags

    def record_turn(self, turn: Turn) -> None:
        """Note that a pass was run."""
        self._live_passes = 0 if turn is Turn.FILE else self._live_passes + 1

    def record_reading(self) -> None:
        """Note that a file's turn went into reading it: it keeps its claim, behind one live pass."""
        self._live_passes = min(self._live_passes, LIVE_PASSES_PER_FILE_PASS - 1)

    def record_partials(self, windows: int, seconds: float) -> None:
        """Learn what a partial costs: a pass over `windows` windows took `seconds`."""
        self._partial_seconds += _LEARNING_RATE * (seconds / windows - self._partial_seconds)

    def partial_interval(self, speaking: int, *, first: bool = False) -> float:
        """Return the seconds between two partial passes of one stream while `speaking` streams want them.

        Args:
            first: the stream's utterance has no word yet.
        """
        interval = speaking * self._partial_seconds / PARTIAL_SHARE
        if first:
            return max(FIRST_PARTIAL_SECONDS, interval * FIRST_COST)
        return max(MIN_PARTIAL_SECONDS, interval)
