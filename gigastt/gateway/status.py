"""Status: what the page is told about its server, and what an operator sees of the last hour.

`GET /v1/page` says before any sign-in what the page needs: the model and its warning, whether the server is ready,
whether it asks for keys, and where it is to be had over HTTPS. `GET /v1/status` is for the operator.
"""

from __future__ import annotations

import importlib.metadata
import platform
import time
from typing import Any, Final

from prometheus_client.metrics import MetricWrapperBase
from starlette.requests import Request
from starlette.responses import Response

from gigastt import __version__
from gigastt.gateway.context import AppContext
from gigastt.gateway.history import Buckets, quantile
from gigastt.gateway.ops import DEMO_WARNING, describe_state
from gigastt.gateway.responses import JSONResponse

_LATENCY_SAMPLES: Final = 10  # five minutes
_SHOWN_ERRORS: Final = 20


class Status:
    """The two routes."""

    def __init__(self, context: AppContext, *, keys: bool) -> None:
        self._context = context
        self._keys = keys
        self._began = time.time()

    async def page(self, request: Request) -> Response:
        """`GET /v1/page`, which asks for no key."""
        context = self._context
        return JSONResponse(
            {
                "model": context.model.name,
                "title": context.model.title,
                "version": __version__,
                "demo": context.model.demo,
                "warning": DEMO_WARNING if context.model.demo else None,
                **self._state(),
                "keys": self._keys,
                "https": None,
                "ca": None,
                "body_limit_bytes": context.limits.body_limit_bytes,
                "max_audio_secs": context.limits.max_audio_secs,
            }
        )

    async def status(self, request: Request) -> Response:
        """`GET /v1/status`."""
        context, pool, metrics = self._context, self._context.pool, self._context.metrics
        samples, now = list(context.history.samples), context.history.now()
        before = samples[-min(len(samples), _LATENCY_SAMPLES)]
        card = pool.model
        return JSONResponse(
            {
                **self._state(),
                "model": context.model.name,
                "title": context.model.title,
                "demo": context.model.demo,
                "encoder": card.encoder if card else None,
                "provider": card.provider if card else None,
                "versions": {
                    "gigastt": __version__,
                    "python": platform.python_version(),
                    "onnxruntime": importlib.metadata.version("onnxruntime"),
                },
                "started_at": round(self._began),
                "now": round(now.at),
                "places": {"taken": now.taken, "total": now.total, "waiting": now.waiting},
                "latency": {
                    "seconds": round(now.at - before.at),
                    "final": _quantiles(before.finals, now.finals),
                    "first_partial": _quantiles(before.first_partials, now.first_partials),
                    "event_loop_lag": _quantiles(before.loop_lags, now.loop_lags),
                },
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
                "errors_by_code": _values(metrics.errors, "code"),
            }
        )

    def _state(self) -> dict[str, Any]:
        preparing = self._context.preparing() if self._context.preparing else None
        reason, sentence = describe_state(self._context.pool, preparing)
        return {"state": reason, "reason": sentence, "preparing": preparing}


def _values(metric: MetricWrapperBase, label: str) -> dict[str, float]:
    """Return the value of each series by one of its labels."""
    return {sample.labels.get(label, ""): sample.value for family in metric.collect() for sample in family.samples}


def _quantiles(earlier: Buckets, later: Buckets) -> dict[str, float | None]:
    return {"p50": quantile(earlier, later, 0.5), "p95": quantile(earlier, later, 0.95)}
