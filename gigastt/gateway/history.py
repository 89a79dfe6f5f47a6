"""History: the last hour of a server, in memory: a sample every half minute of its places and of its histograms.

A quantile over a span of time is read off the difference of two samples of a histogram, so the paths of audio count
nothing extra. On the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import Histogram

from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.ports import ServingPool

SAMPLE_SECONDS: Final = 30.0
_SAMPLES: Final = 120

Buckets = Mapping[float, float]  # a histogram: the upper bound of each bucket, and how many lie at or below it


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment; the histograms have counted since the server's start."""

    at: float  # seconds of the system's clock
    taken: int
    total: int
    waiting: int
    finals: Buckets
    first_partials: Buckets
    loop_lags: Buckets


class History:
    """The samples of the last hour."""

    def __init__(self, pool: ServingPool, metrics: Metrics, clock: Callable[[], float] = time.time) -> None:
        self.samples: deque[Sample] = deque(maxlen=_SAMPLES)
        self._pool = pool
        self._metrics = metrics
        self._clock = clock

    async def run(self) -> None:
        """Take a sample every half minute, for ever."""
        while True:
            self.take()
            await asyncio.sleep(SAMPLE_SECONDS)

    def take(self) -> None:
        """Take a sample."""
        self.samples.append(self.now())

    def now(self) -> Sample:
        """Return a sample of this moment."""
        pool, metrics = self._pool, self._metrics
        return Sample(
            at=self._clock(),
            taken=pool.places.capacity - pool.places.available,
            total=pool.places.capacity,
            waiting=pool.places.waiters,
            finals=_buckets(metrics.final_latency_seconds),
            first_partials=_buckets(metrics.first_partial_seconds),
            loop_lags=_buckets(metrics.event_loop_lag_seconds),
        )


def quantile(earlier: Buckets, later: Buckets, share: float) -> float | None:
    """Return the quantile of what came between two samples, in a straight line within its bucket; None: nothing came.

    A value above the last bound counts as that bound.
    """
    bounds = sorted(later)
    counts = [later[bound] - earlier[bound] for bound in bounds]
    wanted = share * counts[-1]
    lower, below = 0.0, 0.0
    for bound, count in zip(bounds[:-1], counts[:-1], strict=True):
        if count >= wanted > 0:
            return round(lower + (bound - lower) * (wanted - below) / (count - below), 3)
        lower, below = bound, count
    return lower if counts[-1] else None


def _buckets(histogram: Histogram) -> Buckets:
    return {
        float(sample.labels["le"]): sample.value
        for metric in histogram.collect()
        for sample in metric.samples
        if sample.name.endswith("_bucket")
    }
