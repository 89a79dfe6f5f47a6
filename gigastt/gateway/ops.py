"""Operations: is the server alive, is it ready, what does it serve, how is it doing.

`/health` says only that the event loop turns. `/ready` says that a model is loaded and the server is not leaving; a
busy server stays ready and says how busy it is, or every copy would leave the load balancer at the peak.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gigastt import __version__
from gigastt.audio.formats import SUPPORTED_FORMATS
from gigastt.audio.resample import SUPPORTED_RATES
from gigastt.errors import MetricsDisabled
from gigastt.gateway.metrics import CONTENT_TYPE
from gigastt.gateway.responses import JSONResponse

if TYPE_CHECKING:
    from gigastt.gateway.context import AppContext, NotReadyReason

CLIENT_SAMPLE_RATE: Final = 48_000  # of a session that does not configure one
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

    async def health(self, request: Request) -> Response:
        """`GET /health`."""
        return JSONResponse({"status": "ok", "model": self._context.model.name, "version": __version__})

    async def ready(self, request: Request) -> Response:
        """`GET /ready`."""
        pool = self._context.pool
        counts = {"pool_available": pool.available, "pool_total": pool.total, "saturation": round(pool.saturation, 3)}
        reason = not_ready_reason(self._context)
        if reason is None:
            return JSONResponse({"status": "ready", **counts})
        sentence = _SENTENCES[reason]
        if self._context.preparing is not None:
            sentence = f"{sentence[:-1]}: {self._context.preparing()}."
        body = {"status": "not_ready", "reason": reason, **counts}
        body |= {"error": sentence, "code": reason, "retry_after_ms": _RETRY_AFTER_MS}
        return JSONResponse(body, 503, {"retry-after": str(_RETRY_AFTER_MS // 1000)})

    async def models(self, request: Request) -> Response:
        """`GET /v1/models`: one object that is a model and, for clients of other servers, a list of one."""
        model = describe_model(self._context)
        return JSONResponse({**model, "object": "list", "data": [{**model, "object": "model", "owned_by": "gigastt"}]})

    async def metrics(self, request: Request) -> Response:
        """`GET /metrics`."""
        settings = self._context.settings
        if not settings.metrics or settings.metrics_listen is not None:
            raise MetricsDisabled("There are no metrics at this address: see --metrics and --metrics-listen.")
        return metrics_response(self._context)


def metrics_response(context: AppContext) -> Response:
    """Return every series as Prometheus text."""
    return Response(context.metrics.render(), headers={"content-type": CONTENT_TYPE, "cache-control": "no-store"})


def not_ready_reason(context: AppContext) -> NotReadyReason | None:
    """Return why the server should not be sent clients; None when it should."""
    state = context.pool.state
    if state == "ready":
        return None
    if state == "initializing" and context.preparing is not None:
        return "model_missing"
    return state


def describe_model(context: AppContext) -> dict[str, Any]:
    """Return the model as clients see it; what only a worker knows is null until one is ready."""
    pool, card = context.pool, context.pool.model
    model: dict[str, Any] = {
        "id": context.model.name,
        "name": context.model.title,
        "version": __version__,
        "encoder": card.encoder if card else None,
        "vocab_size": card.vocab_size if card else None,
        "sample_rate": CLIENT_SAMPLE_RATE,
        "pool_size": pool.size,
        "pool_available": pool.available,
        "max_sessions": pool.total,
        "supported_formats": list(SUPPORTED_FORMATS),
        "supported_rates": list(SUPPORTED_RATES),
        "diarization": False,
    }
    if context.model.demo:
        model |= {"demo": True, "warning": DEMO_WARNING}
    return model
