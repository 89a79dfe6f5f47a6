"""Operations: is the server alive, is it ready, what does it serve, how is it doing.

`/health` says only that the event loop turns. `/ready` says that a model is loaded and the server is not leaving; a
busy server stays ready and says how busy it is, or every copy would leave the load balancer at the peak.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gigastt import __version__
from gigastt.audio.resample import SUPPORTED_RATES
from gigastt.errors import MetricsDisabled
from gigastt.gateway.context import AppContext
from gigastt.gateway.metrics import CONTENT_TYPE, Metrics
from gigastt.gateway.pool.ports import ServingPool
from gigastt.gateway.responses import JSONResponse

_CLIENT_SAMPLE_RATE: Final = 48_000  # of a session that does not configure one
# Of files that can be transcribed, as clients are told them; `audio.containers` has their demuxers and decoders.
SUPPORTED_FORMATS: Final = (
    *("wav", "flac", "mp3", "ogg", "opus", "m4a", "aac", "webm"),
    *("mp4", "mkv", "3gp", "amr", "wma", "avi", "ts", "aiff", "caf", "au", "w64", "ac3", "eac3", "dts", "mp2"),
)
DEMO_WARNING: Final = (
    "This is the demonstration model, trained on synthetic speech: it is for trying and testing, "
    "and does not understand real people."
)
_SENTENCES: Final[dict[str, str]] = {
    "initializing": "The server is loading its model.",
    "model_missing": "The server has no model files yet.",
    "crash_loop": "The inference workers keep failing.",
    "shutting_down": "The server is shutting down.",
}
_RETRY_AFTER_MS: Final = 1_000


class Operations:
    """The routes that say how the server is."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._pool = context.pool

    async def health(self, request: Request) -> Response:
        """`GET /health`."""
        return JSONResponse({"status": "ok", "model": self._context.model.name, "version": __version__})

    async def ready(self, request: Request) -> Response:
        """`GET /ready`."""
        pool, preparing = self._pool, self._context.preparation
        counts = {
            "pool_available": pool.places.available,
            "pool_total": pool.places.capacity,
            "saturation": round(pool.places.saturation, 3),
        }
        reason, sentence = describe_state(pool, preparing)
        if sentence is None:
            coming = {} if preparing is None else {"preparing": preparing}
            return JSONResponse({"status": "ready", **counts, **coming})
        body = {"status": "not_ready", "reason": reason, **counts}
        body |= {"error": sentence, "code": reason, "retry_after_ms": _RETRY_AFTER_MS}
        return JSONResponse(body, 503, {"retry-after": str(_RETRY_AFTER_MS // 1000)})

    async def models(self, request: Request) -> Response:
        """`GET /v1/models`: the model that serves, and a list of all that are installed, it first."""
        model = self._describe_model()
        kind = {"object": "model", "created": 0, "owned_by": "gigastt"}
        others = [{"id": name, **kind, "served": False} for name in self._context.installed if name != model["id"]]
        return JSONResponse({**model, "object": "list", "data": [{**model, **kind, "served": True}, *others]})

    async def capacity(self, request: Request) -> Response:
        """`GET /v1/capacity`: how many live sessions there may be, and from what that was reckoned."""
        pool, cost = self._pool, self._pool.capacity
        return JSONResponse(
            {
                "places": pool.places.capacity,
                "sessions": pool.places.active,
                "waiting": pool.places.waiters,
                "saturation": round(pool.places.saturation, 3),
                "fitting": pool.fitting,
                "workers": pool.workers_ready,
                "workers_configured": pool.size,
                "streams_per_worker": round(cost.streams, 1),
                "final_latency_ms": cost.final_latency_ms,
                "final_cost": round(cost.final_cost, 4),
                "speech_share": round(cost.speech_share, 3),
                "upload_places": pool.uploads.capacity,
            }
        )

    async def metrics(self, request: Request) -> Response:
        """`GET /metrics`."""
        settings = self._context.settings
        if not settings.metrics or settings.metrics_listen is not None:
            raise MetricsDisabled("There are no metrics at this address: see --metrics and --metrics-listen.")
        return metrics_response(self._context.metrics)

    def _describe_model(self) -> dict[str, Any]:
        """Return the model as clients see it; the fields that only a worker knows are null until one is ready."""
        pool, card, served = self._pool, self._pool.model, self._context.model
        model: dict[str, Any] = {
            "id": served.name,
            "name": served.title,
            "version": __version__,
            "encoder": card.encoder if card else None,
            "vocab_size": card.vocab_size if card else None,
            "sample_rate": _CLIENT_SAMPLE_RATE,
            "pool_size": pool.size,
            "pool_available": pool.places.available,
            "max_sessions": pool.places.capacity,
            "supported_formats": list(SUPPORTED_FORMATS),
            "supported_rates": list(SUPPORTED_RATES),
            "diarization": served.likeness is not None,
            "listeners": [asdict(listening) for listening in self._context.listeners],
        }
        if served.demo:
            model |= {"demo": True, "warning": DEMO_WARNING}
        return model


def describe_state(pool: ServingPool, preparing: str | None) -> tuple[str, str | None]:
    """Return `ready` and None, or why the server is not, as a code and as a sentence."""
    reason: str = pool.state
    if reason == "ready":
        return reason, None
    if reason == "initializing" and preparing is not None:
        reason = "model_missing"
    sentence = _SENTENCES[reason]
    return reason, sentence if preparing is None else f"{sentence[:-1]}: {preparing}."


def landing_response() -> Response:
    """Return the page of the metrics listener for people who open it in a browser."""
    page = (
        f"<!doctype html><title>gigastt {__version__}</title><h1>gigastt {__version__}</h1>"
        '<p><a href="/metrics">Metrics</a> for Prometheus. The server itself listens on another port.'
    )
    policy = {"content-security-policy": "default-src 'none'", "cache-control": "no-store"}
    return Response(page, media_type="text/html", headers=policy)


def metrics_response(metrics: Metrics) -> Response:
    """Return every series as Prometheus text."""
    return Response(metrics.render(), headers={"content-type": CONTENT_TYPE, "cache-control": "no-store"})
