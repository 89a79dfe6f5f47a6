"""Series of API keys: what is done with each, read when somebody asks for the metrics.

Bounded by the file of keys: the first `MOST_NAMES` names have series of their own, all other keys share `other`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

MOST_NAMES: Final = 100
OTHER_KEY: Final = "other"


class Usage(Protocol):
    """What is done with one key."""

    requests: int
    sessions: int
    audio_seconds: float

    @property
    def name(self) -> str | None:
        """The key's name, if it has one."""
        ...


class KeySeries(Collector):
    """The collector.

    Attributes:
        read: returns every key's usage; set by whoever has the keys.
    """

    def __init__(self) -> None:
        self.read: Callable[[], Sequence[Usage]] = lambda: ()

    def collect(self) -> Iterator[Metric]:
        """Yield the series as they are now."""
        named = [usage.name for usage in self.read() if usage.name is not None]
        own = set(named[:MOST_NAMES])
        totals: dict[str, list[float]] = {}
        for usage in self.read():
            label = usage.name if usage.name in own and usage.name is not None else OTHER_KEY
            total = totals.setdefault(label, [0, 0, 0])
            total[0] += usage.requests
            total[1] += usage.sessions
            total[2] += usage.audio_seconds
        requests = CounterMetricFamily("gigastt_key_requests", "Requests let in, by API key.", labels=["key"])
        sessions = GaugeMetricFamily("gigastt_key_sessions", "Live sessions now, by API key.", labels=["key"])
        audio = CounterMetricFamily(
            "gigastt_key_audio_seconds", "Seconds of audio accepted, by API key.", labels=["key"]
        )
        for label, (number, open_now, seconds) in totals.items():
            requests.add_metric([label], number)
            sessions.add_metric([label], open_now)
            audio.add_metric([label], seconds)
        yield from (requests, sessions, audio)
