"""Latency: how long a live client waited, measured at the moment the gateway tells it.

Owned by a session. Times are those of the caller's clock; nothing here decides anything. Finals of those who speak are
noted for the reckoning of places; a client that sends recordings faster than they were spoken is no measure of it.

- First partial: from the arrival of the audio in which the utterance's first word begins, to the first partial.
- Final: from the arrival of the last audio the final needed (the end of its speech and the endpoint silence, or
  the end of the session) to the final. A final's own end is later than that of its speech: it includes `TAIL_SECONDS`
  of the silence, or all of a shorter one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final as Constant

from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.events import Event
from gigastt.transcript import Final, Partial

TAIL_SECONDS: Constant = 0.32  # of silence that a final's end includes
AHEAD_SECONDS: Constant = 2.0  # of audio that came sooner than it can have been spoken: networks deliver in bursts


def decided_after(endpoint_silence_ms: int) -> float:
    """Return how many seconds of audio behind a final's end tell that its utterance is over."""
    return max(0.0, endpoint_silence_ms / 1000 - TAIL_SECONDS)


class Arrivals:
    """When each sample of a track arrived, as far back as latencies need it."""

    def __init__(self) -> None:
        self._marks: deque[tuple[int, float]] = deque(maxlen=2048)  # (samples so far, when)

    def mark(self, end: int, now: float) -> None:
        """Note that samples up to `end` are there."""
        self._marks.append((end, now))

    def at(self, sample: int) -> float | None:
        """When `sample` arrived; None when that is forgotten."""
        found = None
        for end, when in reversed(self._marks):
            if end < sample:
                break
            found = when
        return found


@dataclass(slots=True)
class _Channel:
    arrivals: Arrivals = field(default_factory=Arrivals)
    end: int = 0
    in_utterance: bool = False


class Stopwatch:
    """The latencies of one session.

    Args:
        note_final: is given the seconds of each final of somebody who speaks.
    """

    def __init__(
        self, metrics: Metrics, channels: int, endpoint_silence_ms: int, note_final: Callable[[float], None]
    ) -> None:
        self._metrics = metrics
        self._note_final = note_final
        self._began: float | None = None
        self._decided_after = round(decided_after(endpoint_silence_ms) * SAMPLE_RATE)
        self._channels = [_Channel() for _ in range(channels)]
        self._finished_at: float | None = None

    def heard(self, channel: int, end: int, now: float) -> None:
        """Samples of a channel up to `end` have arrived."""
        self._channels[channel].arrivals.mark(end, now)
        self._channels[channel].end = end
        if self._began is None:
            self._began = now - end / SAMPLE_RATE

    def finished(self, now: float) -> None:
        """The session gets no more audio."""
        self._finished_at = now

    def told(self, event: Event, now: float) -> None:
        """An event goes to the client."""
        if isinstance(event, Partial) and event.words:
            channel = self._channels[event.channel]
            if not channel.in_utterance:
                channel.in_utterance = True
                began = channel.arrivals.at(round(event.words[0].start * SAMPLE_RATE) + 1)
                if began is not None:
                    self._metrics.first_partial_seconds.observe(now - began)
        elif isinstance(event, Final):
            channel = self._channels[event.channel]
            channel.in_utterance = False
            needed = self._needed_at(channel, event)
            if needed is not None:
                self._metrics.final_latency_seconds.observe(now - needed)
                if self._began is not None and channel.end / SAMPLE_RATE <= now - self._began + AHEAD_SECONDS:
                    self._note_final(now - needed)

    def _needed_at(self, channel: _Channel, event: Final) -> float | None:
        match event.reason:
            case "silence":
                needed = round(event.end * SAMPLE_RATE) + self._decided_after
                return channel.arrivals.at(min(needed, channel.end))
            case "max_duration":
                return channel.arrivals.at(min(round(event.end * SAMPLE_RATE), channel.end))
            case "flush":
                return None
            case _:
                return self._finished_at
