"""Metrics: the names that dashboards and alerts rely on, in a registry of the server's own.

One attribute per contract name, without the `gigastt_` prefix and the `_total` suffix:
`metrics.worker_restarts.labels(reason="killed").inc()`. Used from the event loop only. Every label takes
its values from a closed set, so a hostile client cannot add series: `path` is the template of a route that
serves the method or `other`, `method` one of `KNOWN_METHODS` or `OTHER`. `protocol` a dialect's name.
Only POST is timed by its path. Never a transcript, an address or a key.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol, get_args

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.errors import codes_of_requests
from gigastt.transcript import Drop

KNOWN_METHODS = ("GET", "HEAD", "POST", "OPTIONS")
OTHER_METHOD = "OTHER"
OTHER_PATH = "other"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

DEATHS = ("killed", "crashed", "stalled", "stopped", "violation", "boot_timeout", "spawn")

MOST_NAMES: Final = 100  # of keys that have series of their own: the first of the file; all others share `OTHER_KEY`
OTHER_KEY: Final = "other"
OTHER_CODE = "other"
_CODES_OF_SESSIONS = (
    "configure_too_late", "container_not_pcm", "idle_timeout", "inference_error", "invalid_configuration",
    "invalid_endpoint_mode", "invalid_message", "invalid_sample_rate", "max_session_duration_exceeded",
    "policy_violation", "segment_failed", "slow_consumer", "unknown_field", "unsupported_protocol_version",
)  # fmt: skip
ERRORS = tuple(sorted({*_CODES_OF_SESSIONS, *codes_of_requests(), OTHER_CODE}))  # of clients, over HTTP and in sessions
ENDINGS = ("stop", "client_gone", "interrupted", "broken_frames", "shutdown", "error", *_CODES_OF_SESSIONS, OTHER_CODE)
JOB_ENDS = ("done", "failed")
WEBHOOKS = ("call", "job")
REFUSALS = ("address_full", "server_full", "flood")  # of connections

_REQUEST_BUCKETS = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0)
_PASS_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
_LATENCY_BUCKETS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0)
_SESSION_BUCKETS = (1.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 14400.0)
_LOOP_BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0)
_BATCH_BUCKETS = (1, 2, 3, 4)

# The `_created` series would double the series and tell nothing.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """All series of one server; seconds, bytes, samples and counts as their names say."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # process_cpu_seconds_total, process_open_fds, ...
        self.keys = KeySeries()
        self.registry.register(self.keys)
        # HTTP
        self.http_requests = self._counter(
            "http_requests", "Requests answered, WebSocket upgrades included.", "method", "path", "status"
        )
        self.http_request_duration_seconds = self._histogram(
            "http_request_duration_seconds", "Time to answer a request.", _REQUEST_BUCKETS, "method", "path"
        )
        self.ws_active_connections = self._gauge("ws_active_connections", "Open WebSocket connections.")
        self.last_errors: deque[tuple[float, str]] = deque(maxlen=100)  # time of day, code; the newest last
        self.rate_limit_rejections = self._counter("rate_limit_rejections", "Requests answered with 429.")
        self.errors = self._counter("errors", "Errors that clients were told of, over HTTP and in sessions.", "code")
        for code in ERRORS:
            self.errors.labels(code)
        self.refused_connections = self._counter(
            "refused_connections", "Connections refused before they said a word, or hung up on.", "reason"
        )
        for reason in REFUSALS:
            self.refused_connections.labels(reason)
        self.sessions_closed = self._counter("sessions_closed", "Live sessions that are over.", "reason")
        for reason in ENDINGS:
            self.sessions_closed.labels(reason)
        self.session_duration_seconds = self._histogram(
            "session_duration_seconds", "How long live sessions had their place.", _SESSION_BUCKETS
        )
        self.event_loop_lag_seconds = self._histogram(
            "event_loop_lag_seconds", "How late the event loop runs a timer.", _LOOP_BUCKETS
        )
        # The pool
        self.pool_available = self._gauge("pool_available", "Sessions that could begin now.")
        self.pool_places = self._gauge("pool_places", "Live sessions that fit, taken or not.")
        self.pool_waiters = self._gauge("pool_waiters", "Sessions that wait for a place.")
        self.upload_waiters = self._gauge("upload_waiters", "Decoded uploads that wait for a place.")
        self.sessions = self._counter("sessions", "Live sessions begun.", "protocol")
        self.sessions_open = self._gauge("sessions_open", "Live sessions that have a place.", "protocol")
        self.pool_saturation_ratio = self._gauge("pool_saturation_ratio", "Share of the capacity in use, 0 to 1.")
        self.pool_checkout_duration_seconds = self._histogram(
            "pool_checkout_duration_seconds", "Time a client waited for capacity.", _REQUEST_BUCKETS
        )
        self.pool_timeouts = self._counter("pool_timeouts", "Clients that got no capacity in time.")
        # Inference
        self.inference_duration_seconds = self._histogram(
            "inference_duration_seconds", "Time of one encoder pass and its search.", _PASS_BUCKETS, "kind"
        )
        self.batch_size = self._histogram("batch_size", "Windows in one encoder pass.", _BATCH_BUCKETS)
        self.audio_seconds = self._counter("audio_seconds", "Seconds of audio accepted from clients.")
        self.accepted_samples = 0  # not counted in `audio_seconds` yet: counting every chunk would be dear
        self.audio_samples_lost = self._counter(
            "audio_samples_lost", "Samples (16 kHz) declared lost to a client; 0 is the promise."
        )
        self.utterances_dropped = self._counter(
            "utterances_dropped",
            "Utterances left out because the detector doubted them, or by --min-confidence.",
            "reason",
        )
        for reason in get_args(Drop):
            if reason:
                self.utterances_dropped.labels(reason=reason)
        self.first_partial_seconds = self._histogram(
            "first_partial_seconds", "From the first audio of an utterance to its first partial.", _LATENCY_BUCKETS
        )
        self.final_latency_seconds = self._histogram(
            "final_latency_seconds", "From the last audio a final needed to the final.", _LATENCY_BUCKETS
        )
        self.session_lag_seconds = self._gauge(
            "session_lag_seconds", "Audio sent to a worker but not yet analysed, of the session furthest behind."
        )
        # Jobs
        self.jobs = self._gauge("jobs", "Jobs that have not ended.", "state")
        for state in ("queued", "running"):
            self.jobs.labels(state)
        self.jobs_oldest_seconds = self._gauge("jobs_oldest_seconds", "Age of the oldest job that has not ended.")
        self.jobs_spool_bytes = self._gauge("jobs_spool_bytes", "Recordings of jobs that have not ended.")
        self.jobs_ended = self._counter("jobs_ended", "Jobs that have ended.", "state")
        for state in JOB_ENDS:
            self.jobs_ended.labels(state)
        self.webhooks_failed = self._counter("webhooks_failed", "Tries of a webhook that were not taken.", "kind")
        for kind in WEBHOOKS:
            self.webhooks_failed.labels(kind)
        # Workers
        self.worker_restarts = self._counter("worker_restarts", "Workers started anew after a death.", "reason")
        for reason in DEATHS:  # from the start, so that the first one is seen to happen
            self.worker_restarts.labels(reason=reason)
        self.worker_replacements = self._counter("worker_replacements", "Workers replaced on purpose, in an upgrade.")
        self.worker_memory_bytes = self._gauge("worker_memory_bytes", "Resident memory of a worker.", "worker")
        self.workers_configured = self._gauge("workers_configured", "Workers that there are meant to be.")
        self.workers_ready = self._gauge("workers_ready", "Workers with a loaded model.")
        self.replays = self._counter("replays", "Sessions moved to another worker after theirs died.")
        self.build_info = self._gauge("build_info", "Always 1; the labels tell.", "version", "model", "provider")

    def count_error(self, code: str) -> None:
        """Count an error that a client is told of."""
        known = code if code in ERRORS else OTHER_CODE
        self.errors.labels(known).inc()
        self.last_errors.append((time.time(), known))

    def count_refusal(self, reason: str) -> None:
        """Count a connection that was refused, or hung up on without a word (`flood`)."""
        self.refused_connections.labels(reason).inc()

    def count_ending(self, reason: str, seconds: float) -> None:
        """Count a session that is over."""
        self.sessions_closed.labels(reason if reason in ENDINGS else OTHER_CODE).inc()
        self.session_duration_seconds.observe(seconds)

    def count_session(self, protocol: str) -> AbstractContextManager[object]:
        """Count a live session, as open until the block ends."""
        self.sessions.labels(protocol=protocol).inc()
        return self.sessions_open.labels(protocol=protocol).track_inprogress()

    def render(self) -> bytes:
        """Return every series in the Prometheus text format (`CONTENT_TYPE`)."""
        accepted, self.accepted_samples = self.accepted_samples, 0
        self.audio_seconds.inc(accepted / SAMPLE_RATE)
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"gigastt_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"gigastt_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"gigastt_{name}", text, labels, registry=self.registry, buckets=buckets)


class Usage(Protocol):
    """The use of one key."""

    requests: int
    sessions: int
    audio_seconds: float

    @property
    def name(self) -> str | None:
        """The key's name, if it has one."""
        ...


class KeySeries(Collector):
    """Series of API keys, read when somebody asks for the metrics.

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
