"""Capacity: how many live sessions fit, from what the workers' passes really cost.

A core without I/O or clock, owned by the pool. Passes and the speech that they were for go in as they happen; older
ones count less and less. Until somebody speaks, passes that the workers timed at their start stand in.

A worker runs one pass at a time, finals before partials. With n streams, of which each speaks half of the time:

    work of finals   ρ = n × (SPEECH_SHARE × c + l)              c: seconds of final passes for a second of speech
                                                                 l: seconds of listening for a second of audio
    pass in the way  R = ⅘ E[S²] / 2 E[S]                        S: seconds of a final's pass; what is left of it
    final waits      1.9 R + 3 R ρ / (1 − ρ)   (p95)             the rest of one pass, and the finals that are ahead
    streams          the n at which that is ⅘ of the promise, L:  ρ = (L − 1.9 R) / (L + 1.1 R)

The final's own pass is hidden: it mostly runs ahead, in the silence that ends its utterance. On an idle worker a
partial is as good, so c is never less than what a second of any pass costs. Passes of uploads do not count: they wait
for live work. Partials take the time that is left, less often the more streams there are. So R is reckoned from finals:
with few streams most passes are short partials, and more streams would seem to fit than do. Four fifths is what is left
of finals and partials together where as many speak as fit.

Seconds of passes are those of the processor, which hardly change, times the slowness: how much longer passes take by
the clock, where neighbours take the processor away. It is smoothed over a minute, and counts for all passes alike: by
their own lengths, a few that were stretched would seem to stand in the way of every final.

Two things make places fewer than streams. Where people speak for more than half of the time, they take more of the
room that is reckoned for others; those who come are expected to speak for half of it. And what was measured with few
streams need not hold with many (processors slow down, neighbours wake up), so that places grow in steps: at first a
third of what is thought to fit; then at most half as many again as have been seen to speak, and half of what is left.

The finals themselves have the last word. Where one in twenty is later than three quarters of the promise, places grow
no more. Each late one takes a little of what is thought to fit, and each one in time gives a nineteenth of that back,
so that it stays as it is where one in twenty is late. That is how neighbours count who take the processor away between
two passes. Sessions that were admitted stay, and go on being late: so late finals show only that those who are there do
not fit, and never leave less than nineteen twentieths of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gigastt.ipc.messages import PassRecord

SPEECH_SHARE: Final = 0.5  # of a live stream's time somebody speaks
FADE_SECONDS: Final = 300.0  # of speech: what was measured this long ago counts a third; with 24 streams, 25 s
SLOWNESS_SECONDS: Final = 60.0  # by the clock: the same for how much longer passes take than their processor time
TALK_SECONDS: Final = 1200.0  # of audio: the same for the share of it that is speech; utterances come in lumps
EDGES: Final = 0.05  # of the time of who speaks half of it is silence at the ends of utterances
MOST_WORK: Final = 0.8  # of a worker's time for finals: beyond, nobody gets partials
MOST_STREAMS: Final = 500  # of one server: the gateway takes 0.16 % of its core for each

UNTRIED_SHARE: Final = 1 / 3  # of what is thought to fit, before anybody has spoken
STEP: Final = 1.5  # at most, from the streams that were seen to speak to those that are let in,
STEP_SHARE: Final = 0.5  # and of what is left to what is thought to fit
TRIAL_SECONDS: Final = 8.0  # of audio of each of them, with few finals that are nearly late: then they have been seen
NEARLY: Final = 0.75  # of the promise

AIM: Final = 0.8  # of the promise, by the reckoning: finals come in lumps, and neighbours too
LATE_SHARE: Final = 0.05  # of the finals may be late
_IN_THE_WAY: Final = 0.8  # of what is left of a final's pass: shorter passes of partials are in the way, too
_LATE_STEP: Final = 0.02  # of what is thought to fit, for a late final
_LEAST_EASE = 0.2
_SEEN_SHARE: Final = 0.95  # of the streams that there are: late finals say nothing of fewer

# Before anybody has spoken, a pass that was timed at the start counts as one of these.
_TIMED_SPEECH = 2.0  # seconds of speech: soon outweighed
_FINAL_SECONDS = 4.0  # of audio in a final's window
_LEAST_RATE = 1e-6  # seconds of the processor for a second of audio; where a card does all, there is next to nothing
_SPREAD = 4 / 3  # E[S²] / E[S]² of passes over windows of all lengths
_LISTENING = 0.003  # seconds of work for a second of audio: features, detector, packets


@dataclass(frozen=True, slots=True)
class Talk:
    """The live streams of some time: seconds of utterances that got their finals, and of all audio."""

    speech: float = 0.0
    audio: float = 0.0


class CapacityEstimate:
    """The cost of passes, smoothed, and the sessions that fit by it."""

    def __init__(self, final_latency_ms: float) -> None:
        """Args:
        final_latency_ms: the promise: how late 95 % of the finals may be.
        """
        self.final_latency_ms = final_latency_ms
        self._speech = 0.0  # seconds of finals' utterances,
        self._finals = 0.0  # seconds of the processor in passes for them,
        self._passes = 0.0  # in all live passes,
        self._windows = 0.0  # of the audio that these saw,
        self._squares = 0.0  # and the sum of the squares of the finals' passes
        self._clock = 0.0  # seconds that live passes took by the clock,
        self._cpu = 0.0  # and by the processor
        self._listening = 0.0  # seconds of work,
        self._audio = 0.0  # for so many of audio
        self._talk = Talk()  # without what stands in for it at the start
        self._ease = 1.0  # of the streams by the reckoning, by the finals
        self._present = 0.0  # streams that there are for each worker
        self._tried = 0  # streams that were seen to speak at a time
        self._trial = 0.0  # seconds of audio of more than those,
        self._noted = 0  # finals meanwhile,
        self._near = 0  # and those of them that were nearly late

    def begin(self, timed: Iterable[PassRecord]) -> None:
        """Start from passes of known length, until there are some of speech."""
        timed = [record for record in timed if record.audio_seconds]
        if self._speech or not timed:
            return
        rate = max(_LEAST_RATE, min(record.cpu_seconds / record.audio_seconds for record in timed))
        self._speech = _TIMED_SPEECH
        self._finals = self._passes = self._cpu = rate * _TIMED_SPEECH
        self._windows = _TIMED_SPEECH
        self._squares = self._finals * _SPREAD * _FINAL_SECONDS * rate
        self._clock = _TIMED_SPEECH * min(record.seconds / record.audio_seconds for record in timed)
        self._audio = _TIMED_SPEECH / SPEECH_SHARE
        self._listening = _LISTENING * self._audio

    def record(
        self, passes: Iterable[PassRecord], talk: Talk, listening: float, streams: int, workers: int = 1
    ) -> None:
        """Take passes that were run, what has been said meanwhile, and the live streams that there are.

        Args:
            listening: seconds of work besides passes.
            workers: that share the streams.
        """
        self._present = streams / max(1, workers)
        fade = math.exp(-talk.audio / TALK_SECONDS)
        self._talk = Talk(self._talk.speech * fade + talk.speech, self._talk.audio * fade + talk.audio)
        if talk.audio:  # what an idle worker does is no listening, and nothing would ever fade it
            self._listening = self._listening * fade + listening
        self._audio = self._audio * fade + talk.audio
        fade = math.exp(-talk.speech / FADE_SECONDS)
        self._speech = self._speech * fade + talk.speech
        self._finals *= fade
        self._passes *= fade
        self._windows *= fade
        self._squares *= fade
        fade = math.exp(-talk.audio / max(1, streams) / SLOWNESS_SECONDS)
        self._clock *= fade
        self._cpu *= fade
        for made in passes:
            if made.kind == "file":
                continue
            self._clock += made.seconds
            self._cpu += made.cpu_seconds
            self._passes += made.cpu_seconds
            self._windows += made.audio_seconds
            if made.kind == "final":
                self._finals += made.cpu_seconds
                self._squares += made.cpu_seconds**2
        self._try(talk.audio, streams)

    def note_final(self, latency: float) -> None:
        """Take how many seconds a live final came after the last audio that it needed."""
        self._noted += 1
        self._near += latency > NEARLY * self.final_latency_ms / 1000
        if latency <= self.final_latency_ms / 1000:
            self._ease = min(1.0, self._ease * (1 + _LATE_STEP * LATE_SHARE / (1 - LATE_SHARE)))
            return
        if self.streams > _SEEN_SHARE * self._present:
            self._ease = max(_LEAST_EASE, self._ease * (1 - _LATE_STEP))

    def _try(self, audio: float, streams: int) -> None:
        if streams > self._tried:
            self._trial += audio
            if self._trial < TRIAL_SECONDS * streams:
                return
            if self._near <= LATE_SHARE * self._noted:
                self._tried = streams
        self._trial, self._noted, self._near = 0.0, 0, 0

    @property
    def slowness(self) -> float:
        """How many times its processor time a pass takes by the clock."""
        return self._clock / self._cpu if self._cpu else 1.0

    @property
    def final_cost(self) -> float:
        """Seconds of passes for the finals of one second of speech."""
        if not self._speech:
            return 0.0
        return self.slowness * max(self._finals / self._speech, self._passes / self._windows)

    @property
    def listening_cost(self) -> float:
        """Seconds of work besides passes for one second of audio."""
        return self._listening / self._audio if self._audio else 0.0

    @property
    def pass_left(self) -> float:
        """Seconds that a final waits for the pass that runs when it comes, on average."""
        return self.slowness * _IN_THE_WAY * self._squares / (2 * self._finals) if self._finals else 0.0

    @property
    def speech_share(self) -> float:
        """The share of their time for which people speak, at least the half that is expected of everybody."""
        share = self._talk.speech / self._talk.audio if self._talk.audio else 0.0
        return max(SPEECH_SHARE, min(1.0, share - EDGES))

    @property
    def streams(self) -> float:
        """Live streams that one worker carries within the promise, at least one; 0 before anything is known."""
        if not self._speech:
            return 0.0
        promise, left = AIM * self.final_latency_ms / 1000, self.pass_left
        work = min(MOST_WORK, (promise - 1.9 * left) / (promise + 1.1 * left))
        return max(1.0, self._ease * work / (SPEECH_SHARE * self.final_cost + self.listening_cost))

    def fitting(self, workers: int) -> int:
        """Return the sessions that so many workers are thought to carry, each speaking half of the time."""
        return min(MOST_STREAMS, int(workers * self.streams + 1e-9))

    def places(self, workers: int, sessions: int = 0, streams: int = 0) -> int:
        """Return the live sessions that may be there now.

        Args:
            workers: that are ready.
            sessions: that are there.
            streams: of them; two in a session with two channels.
        """
        extra = max(sessions, streams) * self.speech_share / SPEECH_SHARE - sessions
        fitting = self.fitting(workers)
        step = min((STEP - 1) * self._tried, STEP_SHARE * (fitting - self._tried))
        tried = max(UNTRIED_SHARE * fitting, self._tried + max(1, step))
        return max(min(fitting, workers), int(min(fitting - extra, tried)))
