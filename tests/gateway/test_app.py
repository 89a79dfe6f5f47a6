"""The HTTP surface: routes, shapes, error codes, and what every answer carries."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import httpx
import jsonschema
import pytest

from gigastt import __version__
from gigastt.config import Limits
from gigastt.gateway.access.policy import FOLLOWING
from gigastt.gateway.api.description import openapi_text
from gigastt.gateway.context import AppContext
from gigastt.gateway.metrics import KNOWN_METHODS
from gigastt.gateway.pool.ports import PoolState
from gigastt.ipc.messages import PassRecord
from gigastt.log import fields_of
from tests.fakes.gateway import ROUTES, http_client
from tests.fakes.pool import Fakes


async def request(context: AppContext, method: str, path: str, **options: Any) -> httpx.Response:
    async with http_client(context) as client:
        return await client.request(method, path, **options)


def assert_error(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["code"]) == (status, code)
    assert isinstance(body["error"], str)
    assert body["error"]
    assert response.headers["content-type"] == "application/json"
    assert response.headers["vary"] == "Origin"
    assert response.headers["x-request-id"]
    assert ("retry_after_ms" in body) == ("retry-after" in response.headers) == (status in (429, 503))
    return body


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/web/nothing.js", 404, "not_found"),
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/health/", 404, "not_found"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/transcribe", 405, "method_not_allowed"),
        ("PUT", "/v1/transcribe/stream", 405, "method_not_allowed"),
        ("POST", "/v1/ws", 405, "method_not_allowed"),
        ("BREW", "/ready", 405, "method_not_allowed"),
        ("GET", "/v1/ws", 426, "upgrade_required"),
        ("GET", "/ws", 426, "upgrade_required"),
        ("GET", "/metrics", 404, "metrics_disabled"),
    ],
)
async def test_errors_have_one_shape(method: str, path: str, status: int, code: str) -> None:
    assert_error(await request(Fakes().context(), method, path), status, code)


async def test_a_wrong_method_is_told_the_right_ones() -> None:
    response = await request(Fakes().context(), "PUT", "/v1/models")
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"


async def test_an_unexpected_error_is_internal_and_says_nothing_of_its_cause() -> None:
    fakes = Fakes()
    fakes.decoder.error = RuntimeError("/secret/path exploded")
    response = await request(
        fakes.context(), "POST", "/v1/transcribe", content=b"1234", headers={"origin": "http://localhost:1"}
    )
    assert_error(response, 500, "internal")
    assert "secret" not in response.text
    assert response.headers["access-control-allow-origin"] == "http://localhost:1"


async def test_health_says_that_the_server_lives() -> None:
    response = await request(Fakes().context(), "GET", "/health")
    assert response.json() == {"status": "ok", "model": "gigaam-v3-e2e-rnnt", "version": __version__}


async def test_health_is_open_to_every_host_origin_and_rate() -> None:
    fakes = Fakes()
    context = fakes.context()
    context.rate_limiter.take(0, 0)
    for _ in range(30):
        response = await request(
            context, "GET", "/health", headers={"host": "evil.example", "origin": "http://evil.example"}
        )
        assert response.status_code == 200
        assert "access-control-allow-origin" not in response.headers
        assert response.headers["vary"] == "Origin"


async def test_ready_counts_places_and_stays_ready_when_full() -> None:
    fakes = Fakes()
    async with fakes.pool.full():
        response = await request(fakes.context(), "GET", "/ready")
    assert response.status_code == 200
    assert response.json() == {"status": "ready", "pool_available": 0, "pool_total": 4, "saturation": 1.0}


async def test_capacity_says_how_many_there_may_be_and_why() -> None:
    fakes = Fakes()
    fakes.pool.capacity.begin([PassRecord("final", 1, 0.2, 2.0, 0.08)])
    async with fakes.pool.full():
        body = (await request(fakes.context(), "GET", "/v1/capacity")).json()
    jsonschema.validate(body, json.loads(openapi_text())["components"]["schemas"]["Capacity"])
    assert (body["places"], body["sessions"], body["saturation"]) == (4, 4, 1.0)
    assert body["streams_per_worker"] == pytest.approx(fakes.pool.capacity.streams, abs=0.05)
    assert body["final_latency_ms"] == 500


@pytest.mark.parametrize("reason", ["initializing", "shutting_down", "crash_loop"])
async def test_ready_says_why_it_is_not(reason: PoolState) -> None:
    fakes = Fakes()
    fakes.pool.state = reason
    response = await request(fakes.context(), "GET", "/ready")
    body = assert_error(response, 503, reason)
    assert body["status"] == "not_ready"
    assert body["reason"] == reason
    assert {"pool_available", "pool_total", "saturation"} <= body.keys()


async def test_ready_tells_how_far_a_download_is() -> None:
    fakes = Fakes()
    fakes.pool.state = "initializing"
    context = fakes.context()
    context.preparing = lambda: "downloading 37 %"
    body = assert_error(await request(context, "GET", "/ready"), 503, "model_missing")
    assert "downloading 37 %" in body["error"]


async def test_models_is_one_object_for_both_worlds() -> None:
    body = (await request(Fakes().context(), "GET", "/v1/models")).json()
    wanted = {
        "id": "gigaam-v3-e2e-rnnt",
        "name": "GigaAM v3",
        "version": __version__,
        "encoder": "fake.onnx",
        "vocab_size": 257,
        "sample_rate": 48000,
        "pool_size": 2,
        "pool_available": 4,
        "max_sessions": 4,
        "supported_rates": [8000, 16000, 24000, 44100, 48000],
        "diarization": False,
    }
    assert wanted.items() <= body.items()
    assert "wav" in body["supported_formats"]
    assert body["object"] == "list"
    [entry] = body["data"]
    assert wanted.items() <= entry.items()
    assert entry["object"] == "model"
    assert "demo" not in body


async def test_the_demonstration_model_says_so() -> None:
    body = (await request(Fakes().context(demo=True), "GET", "/v1/models")).json()
    assert body["demo"] is True
    assert "demonstration" in body["warning"]


async def test_models_answers_before_a_worker_is_ready() -> None:
    fakes = Fakes()
    fakes.pool.model = None
    body = (await request(fakes.context(), "GET", "/v1/models")).json()
    assert body["encoder"] is None
    assert body["vocab_size"] is None


@pytest.mark.parametrize("path", ["/health", "/ready", "/v1/models"])
async def test_head_is_get_without_a_body(path: str) -> None:
    response = await request(Fakes().context(), "HEAD", path)
    assert response.status_code == 200
    assert int(response.headers["content-length"]) > 0


async def test_options_names_the_methods() -> None:
    response = await request(Fakes().context(), "OPTIONS", "/v1/transcribe")
    assert response.status_code == 204
    assert response.headers["allow"] == "POST, OPTIONS"
    assert "access-control-allow-methods" not in response.headers


@pytest.mark.parametrize("given", ["abc", "A-b_9", "x" * 64])
async def test_a_harmless_request_id_is_echoed(given: str) -> None:
    response = await request(Fakes().context(), "GET", "/health", headers={"x-request-id": given})
    assert response.headers.get_list("x-request-id") == [given]


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a,b", "é", "../x", "a\tb"])
async def test_any_other_request_id_is_replaced(given: str) -> None:
    headers = [(b"x-request-id", given.encode("latin-1"))]
    response = await request(Fakes().context(), "GET", "/health", headers=headers)
    made = response.headers["x-request-id"]
    assert made != given
    assert made.isalnum()


async def test_the_request_id_reaches_the_recogniser() -> None:
    fakes = Fakes()
    await request(fakes.context(), "POST", "/v1/transcribe", content=b"12", headers={"x-request-id": "my-id"})
    assert fakes.transcriber.request_ids == ["my-id"]


async def test_metrics_are_text_with_every_contract_name() -> None:
    response = await request(Fakes().context(metrics=True), "GET", "/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    for name in CONTRACT:
        assert f"# TYPE gigastt_{name} " in response.text, name
    assert "_created" not in response.text


async def test_unknown_paths_and_methods_add_no_series() -> None:
    context = Fakes().context(metrics=True)
    await request(context, "GET", "/unknown")
    await request(context, "BREW", "/unknown")
    before = series(context)
    for number in range(30):
        await request(context, "GET", f"/unknown/{number}")
        await request(context, f"METHOD{number}", "/unknown")
    assert series(context) == before
    assert 'path="other"' in context.metrics.render().decode()


@pytest.mark.slow
async def test_hostile_requests_stay_below_500_series() -> None:
    fakes = Fakes()
    context = fakes.context(Limits(body_limit_bytes=64, pool_checkout_timeout_secs=0.0), metrics=True)
    evil: list[dict[str, str]] = [{}, {"host": "evil.example"}, {"origin": "http://evil.example"}]
    async with http_client(context) as client:

        async def ask(method: str, path: str, **options: Any) -> None:
            with suppress(TimeoutError):  # of streams of events without an end
                async with asyncio.timeout(0.5):
                    await client.request(method, path, **options)

        for method in (*KNOWN_METHODS, "PUT", "DELETE", "PATCH", "TRACE", "BREW", "get"):
            for route in {*ROUTES, "/x"} - {FOLLOWING}:  # which waits for a session until the client hangs up
                path = route.replace("{id}", "x").replace("{name}", "page.js")
                for headers in evil:
                    await ask(method, path, headers=headers)
                    await ask(method, f"{path}?format=xml", headers=headers, content=b"1234")
                await ask(method, path, content=bytes(100))
                async with fakes.pool.full(), fakes.pool.full_of_uploads():
                    await ask(method, path, content=b"1234")
    assert len(series(context)) <= 500


def series(context: AppContext) -> set[str]:
    lines = context.metrics.render().decode().splitlines()
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}


CONTRACT = json.loads(
    """["http_requests_total", "http_request_duration_seconds", "ws_active_connections", "pool_available",
    "pool_waiters", "pool_saturation_ratio", "pool_checkout_duration_seconds", "pool_timeouts_total",
    "inference_duration_seconds", "batch_size", "audio_seconds_total", "audio_samples_lost_total",
    "utterances_dropped_total",
    "first_partial_seconds", "final_latency_seconds", "session_lag_seconds", "worker_restarts_total",
    "worker_memory_bytes", "workers_ready", "replays_total", "rate_limit_rejections_total",
    "event_loop_lag_seconds", "build_info", "sessions_total", "sessions_open"]"""
)


async def test_the_access_line_has_who_asked_for_what_and_why_it_was_refused(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    context = Fakes().context(trusted_proxy=("127.0.0.0/8",))
    async with http_client(context) as client:
        await client.get("/nowhere", headers={"x-forwarded-for": "203.0.113.7"})
        await client.get("/v1/listen")
    line, other = (fields for fields in map(fields_of, caplog.records) if fields["event"] == "request")
    assert "protocol" not in line
    assert (other["protocol"], other["status"]) == ("deepgram", 426)
    told = {name: line[name] for name in ("method", "path", "status", "client", "code")}
    assert told == {"method": "GET", "path": "other", "status": 404, "client": "203.0.113.7", "code": "not_found"}
