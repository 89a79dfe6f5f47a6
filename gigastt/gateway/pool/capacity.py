"""Capacity: how many live streams a worker carries, from what its passes really cost.

A core without I/O or clock, owned by the pool. Passes and the speech that they were for go in as they happen; older
ones count less and less. Until somebody speaks, passes that the workers timed at their start stand in.

A worker runs one pass at a time, finals before partials. With n streams, of which each speaks half of the time:

    work of finals   ρ = n × (SPEECH_SHARE × c + LISTENING)      c: seconds of final passes for a second of speech
    pass in the way  R = E[S²] / 2 E[S]                          S: seconds of a pass; what is left of it on average
    final waits      1.9 R + 3 R ρ / (1 − ρ)   (p95)             the rest of one pass, and the finals that are ahead
    places           the n at which that is the promise L:  ρ = (L − 1.9 R) / (L + 1.1 R)

The final's own pass is hidden: it mostly runs ahead, in the silence that ends its utterance. Passes of uploads do not
count: they wait for live work. Partials take the time that is left, less often the more streams there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from gigastt.ipc.messages import PassRecord

SPEECH_SHARE: Final = 0.5  # of a live stream's time somebody speaks
LISTENING: Final = 0.002  # seconds of work for a second of audio: features, detector, packets
FADE_SECONDS: Final = 120.0  # of speech: what was measured this long ago counts a third
MOST_WORK: Final = 0.8  # of a worker's time for finals: beyond, nobody gets partials
MOST_STREAMS: Final = 500  # of one server: the gateway takes 0.16 % of its core for each

# What a pass that was timed at the start stands for, before anybody has spoken.
_TIMED_SPEECH = 20.0  # seconds of speech: soon outweighed
_FINAL_OVER_TIMED = 1.0  # of the timed rate: seconds of final passes for a second of speech, looks ahead included
_SPREAD = 4 / 3  # E[S²] / E[S]² of passes over windows of all lengths


class CapacityEstimate:
    """What passes cost, smoothed, and the streams that a worker carries by it."""

    def __init__(self, final_latency_ms: float) -> None:
        """Args:
        final_latency_ms: the promise: how late 95 % of the finals may be.
        """
        self.final_latency_ms = final_latency_ms
        self._speech = 0.0  # seconds of finals' utterances,
        self._finals = 0.0  # seconds of passes for them,
        self._passes = 0.0  # of all live passes,
        self._squares = 0.0  # and the sum of their squares

    def begin(self, timed: Iterable[PassRecord]) -> None:
        """Start from passes of known length, in processor time: a machine that is busy now need not stay so."""
        rates = [record.cpu_seconds / record.audio_seconds for record in timed if record.audio_seconds]
        if self._speech or not rates:
            return
        rate = min(rates)
        self._speech = _TIMED_SPEECH
        self._finals = _FINAL_OVER_TIMED * rate * _TIMED_SPEECH
        usual = 2.0 * rate  # a pass over two seconds
        self._passes = _TIMED_SPEECH * usual
        self._squares = _TIMED_SPEECH * _SPREAD * usual**2

    def record(self, passes: Iterable[PassRecord], speech_seconds: float) -> None:
        """Take passes that were run, and how much speech has got its final meanwhile."""
        fade = math.exp(-speech_seconds / FADE_SECONDS)
        self._speech = self._speech * fade + speech_seconds
        self._finals *= fade
        self._passes *= fade
        self._squares *= fade
        for made in passes:
            if made.kind == "file":
                continue
            self._passes += made.seconds
            self._squares += made.seconds**2
            if made.kind == "final":
                self._finals += made.seconds

    @property
    def final_cost(self) -> float:
        """Seconds of passes for the finals of one second of speech."""
        return self._finals / self._speech if self._speech else 0.0

    @property
    def pass_left(self) -> float:
        """Seconds that a final waits for the pass that runs when it comes, on average."""
        return self._squares / (2 * self._passes) if self._passes else 0.0

    @property
    def streams(self) -> float:
        """Live streams that one worker carries within the promise, at least one; 0 before anything is known."""
        if not self._speech:
            return 0.0
        promise, left = self.final_latency_ms / 1000, self.pass_left
        work = min(MOST_WORK, (promise - 1.9 * left) / (promise + 1.1 * left))
        return max(1.0, work / (SPEECH_SHARE * self.final_cost + LISTENING))

    def places(self, workers: int) -> int:
        """Return the live sessions that so many workers carry."""
        return min(MOST_STREAMS, int(workers * self.streams + 1e-9))
