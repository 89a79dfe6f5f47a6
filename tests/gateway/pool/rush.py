"""A rush, simulated: people come at once to one worker, whose passes are stretched as they were on a real machine.

By events, without a clock. People speak in utterances of one to five seconds and are silent as long in between. A final
is due 0.6 s after its utterance; its pass may begin a quarter of a second after the end. Partials fill the time that is
left.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from gigastt.gateway.pool.capacity import CapacityEstimate, Talk
from gigastt.ipc.messages import PassRecord

SECONDS = 120.0
PASS_RATE = 0.036  # seconds of processor time for a second of window, of the benchmark model
PASS_BASE = 0.008
LISTENING = 0.003
ENDPOINT_SECONDS = 0.6
LOOK_AHEAD_SECONDS = 0.25
HEARTBEAT_SECONDS = 0.5
PARTIAL_SECONDS = 0.3


@dataclass(frozen=True)
class Neighbours:
    """What takes the processor away: from each time on, a pass takes so many times its processor time."""

    times: Sequence[float]
    stretches: Sequence[float]

    def stretch(self, at: float) -> float:
        """Return the stretch of a pass that begins then; the record repeats."""
        at = self.times[0] + (at - self.times[0]) % (self.times[-1] - self.times[0])
        return self.stretches[bisect_right(self.times, at) - 1]


@dataclass(eq=False)
class Speaker:
    """One person, and the utterance that is being spoken or comes next.

    looked_at: when a partial was last made of it.
    """

    choices: random.Random
    begin: float = 0.0
    end: float = 0.0
    looked_at: float = 0.0

    def __post_init__(self) -> None:
        self.begin += self.choices.uniform(0.0, 4.0)  # people do not begin together
        self._speak()

    def _speak(self) -> None:
        self.end = self.begin + self.choices.uniform(1.0, 5.0)
        self.looked_at = self.begin + 0.2

    def go_on(self) -> None:
        """The utterance is told: the next one comes after a pause as long."""
        self.begin = 2 * self.end - self.begin
        self._speak()


@dataclass
class Outcome:
    """What came of a rush.

    places, streams: at each heartbeat.
    latencies: when each final came, and how late.
    """

    places: list[int] = field(default_factory=list)
    streams: list[int] = field(default_factory=list)
    latencies: list[tuple[float, float]] = field(default_factory=list)


def rush(capacity: CapacityEstimate, neighbours: Neighbours, begin: float, seed: int, clients: int = 40) -> Outcome:
    """Have clients come at once, and stay for two minutes; `begin` is the moment of the record at which they do."""
    choices, outcome = random.Random(seed), Outcome()
    speakers: list[Speaker] = []
    passes: list[PassRecord] = []
    now, beat, said = 0.0, 0.0, 0.0

    def run_pass(kind: str, window: float) -> None:
        nonlocal now
        cpu = (PASS_BASE + PASS_RATE * window) * choices.uniform(0.95, 1.05)
        seconds = cpu * neighbours.stretch(begin + now)
        passes.append(PassRecord(kind, 1, seconds, window, cpu))  # type: ignore[arg-type]
        now += seconds

    while now < SECONDS:
        if now >= beat:  # 1. what was done is counted, and who fits is let in
            audio = len(speakers) * HEARTBEAT_SECONDS
            now += LISTENING * audio
            capacity.record(passes, Talk(said, audio), LISTENING * audio, len(speakers))
            passes, said, beat = [], 0.0, beat + HEARTBEAT_SECONDS
            places = capacity.places(1, len(speakers), len(speakers))
            while len(speakers) < min(places, clients):
                speakers.append(Speaker(random.Random(choices.random()), now))
            outcome.places.append(places)
            outcome.streams.append(len(speakers))
            continue
        ended = [one for one in speakers if one.end + LOOK_AHEAD_SECONDS <= now]
        if ended:  # 2. the oldest final
            first = min(ended, key=lambda one: one.end)
            run_pass("final", first.end - first.begin + 0.5)
            latency = max(0.0, now - first.end - ENDPOINT_SECONDS)
            said += first.end - first.begin
            capacity.note_final(latency)
            outcome.latencies.append((now, latency))
            first.go_on()
            continue
        waiting = [one for one in speakers if one.begin + 0.5 <= now and one.looked_at + PARTIAL_SECONDS <= now]
        if waiting:  # 3. the partial that waits longest
            oldest = min(waiting, key=lambda one: one.looked_at)
            oldest.looked_at = now
            run_pass("partial", min(now, oldest.end) - oldest.begin)
            continue
        now += 0.01
    return outcome
