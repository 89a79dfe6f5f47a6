"""Status: what the page is told about its server before any sign-in, and what an operator sees of the last hour."""

from __future__ import annotations

import platform
import time
from typing import Any, Final

from prometheus_client.metrics import MetricWrapperBase
from starlette.requests import Request
from starlette.responses import Response

from gigastt import __version__
from gigastt.cards import runtime_version
from gigastt.gateway.context import AppContext
from gigastt.gateway.history import Buckets, Sample, quantile
from gigastt.gateway.ops import describe_state
from gigastt.gateway.responses import JSONResponse

_LATENCY_SAMPLES: Final = 10  # five minutes
_SHOWN_ERRORS: Final = 20


class Status:
    """The routes of the page about its server."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._began = time.time()

    async def page(self, request: Request) -> Response:
        """`GET /v1/page`, which asks for no key."""
        card = self._context.pool.model
        told = {
            "keys": self._context.api_keys is not None,
            "diarization": self._context.model.likeness is not None,
            "hotwords": card is not None and card.alphabet != "",
        }
        return JSONResponse({**self._describe(), **told})

    async def status(self, request: Request) -> Response:
        """`GET /v1/status`."""
        pool, metrics, history = self._context.pool, self._context.metrics, self._context.history
        now = history.now()
        samples = list(history.samples) or [now]
        card = pool.model
        return JSONResponse(
            {
                **self._describe(),
                "encoder": card.encoder if card else None,
                "provider": card.provider if card else None,
                "versions": {
                    "gigastt": __version__,
                    "python": platform.python_version(),
                    "onnxruntime": runtime_version(),
                },
                "started_at": round(self._began),
                "now": round(now.at),
                "places": {"taken": now.taken, "total": now.total, "waiting": now.waiting},
                "latency": _latency(samples[-min(len(samples), _LATENCY_SAMPLES)], now),
                "workers": {
                    "total": pool.size,
                    "ready": pool.workers_ready,
                    "memory_bytes": _values(metrics.worker_memory_bytes, "worker"),
                    "restarts": _values(metrics.worker_restarts, "reason"),
                },
                "samples_lost": sum(_values(metrics.audio_samples_lost, "").values()),
                "hour": [
                    {
                        "at": round(later.at),
                        "taken": later.taken,
                        "total": later.total,
                        "waiting": later.waiting,
                        "final_p95": quantile(earlier.finals, later.finals, 0.95),
                    }
                    for earlier, later in zip(samples, [*samples[1:], now], strict=True)
                ],
                "errors": [
                    {"at": round(at), "code": code} for at, code in list(metrics.last_errors)[: -_SHOWN_ERRORS - 1 : -1]
                ],
                "errors_by_code": {code: count for code, count in _values(metrics.errors, "code").items() if count},
            }
        )

    def _describe(self) -> dict[str, Any]:
        """Return the model and the state; `reason` is a sentence, null where the server is ready."""
        model = self._context.model
        preparing = self._context.preparation
        state, reason = describe_state(self._context.pool, preparing)
        about = {"model": model.name, "title": model.title, "demo": model.demo}
        return {**about, "state": state, "reason": reason, "preparing": preparing}


def _latency(before: Sample, now: Sample) -> dict[str, Any]:
    return {
        "seconds": round(now.at - before.at),
        "final": _quantiles(before.finals, now.finals),
        "first_partial": _quantiles(before.first_partials, now.first_partials),
        "event_loop_lag": _quantiles(before.loop_lags, now.loop_lags),
    }


def _values(metric: MetricWrapperBase, label: str) -> dict[str, float]:
    """Return the value of each series by one of its labels."""
    return {sample.labels.get(label, ""): sample.value for family in metric.collect() for sample in family.samples}


def _quantiles(earlier: Buckets, later: Buckets) -> dict[str, float | None]:
    return {"p50": quantile(earlier, later, 0.5), "p95": quantile(earlier, later, 0.95)}
