"""What the page and an operator are told of the server: now, over the last hour, and its errors."""

from __future__ import annotations

from pathlib import Path

from gigastt.gateway.history import SAMPLE_SECONDS, History, quantile
from gigastt.gateway.metrics import Metrics
from tests.fakes.gateway import http_client
from tests.fakes.pool import Fakes


async def test_the_page_learns_without_a_key_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("secret-key-1\n")
    fakes = Fakes()
    context = fakes.context(demo=True, api_keys_file=tmp_path / "keys")
    async with http_client(context) as client:
        facts = (await client.get("/v1/page")).json()
        assert facts == {
            "model": "gigaam-v3-e2e-rnnt",
            "title": "GigaAM v3",
            "demo": True,
            "state": "ready",
            "reason": None,
            "preparing": None,
            "keys": True,
            "diarization": False,
            "hotwords": True,
        }
        fakes.pool.state = "initializing"
        context.preparing = lambda: "downloading 37 %"
        facts = (await client.get("/v1/page")).json()
        assert (facts["state"], facts["preparing"]) == ("model_missing", "downloading 37 %")
        assert facts["reason"] == "The server has no model files yet: downloading 37 %."


async def test_the_status_is_behind_the_keys_and_tells_places_latency_and_errors(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("secret-key-1\n")
    fakes = Fakes()
    context = fakes.context(api_keys_file=tmp_path / "keys")
    key = {"authorization": "Bearer secret-key-1"}
    context.history.take()
    async with http_client(context) as client, context.pool.places.admit(0):
        assert (await client.get("/v1/status")).status_code == 401
        assert (await client.get("/v1/nothing", headers=key)).status_code == 404
        context.metrics.worker_memory_bytes.labels(worker="0").set(5e8)
        for _ in range(100):
            context.metrics.final_latency_seconds.observe(0.3)
        status = (await client.get("/v1/status", headers=key)).json()
    assert status["places"] == {"taken": 1, "total": 4, "waiting": 0}
    assert [sample["taken"] for sample in status["hour"]] == [1]
    assert 0.25 <= status["latency"]["final"]["p50"] <= status["latency"]["final"]["p95"] <= 0.5
    assert status["latency"]["first_partial"] == {"p50": None, "p95": None}
    assert status["workers"]["memory_bytes"] == {"0": 5e8}
    assert [error["code"] for error in status["errors"]] == ["not_found", "unauthorized"]
    assert status["errors_by_code"] == {"not_found": 1, "unauthorized": 1}
    assert status["samples_lost"] == 0
    assert {"gigastt", "python", "onnxruntime"} == set(status["versions"])


async def test_the_last_hour_is_kept_and_no_more() -> None:
    fakes, now = Fakes(), [0.0]
    history = History(fakes.context().pool, Metrics(), clock=lambda: now[0])
    for _ in range(200):
        now[0] += SAMPLE_SECONDS
        history.take()
    assert now[0] - history.samples[0].at <= 3600
    assert now[0] - history.samples[0].at >= 3500


def test_a_quantile_lies_within_the_bucket_of_what_came_since() -> None:
    before = {0.1: 5.0, 0.2: 5.0, float("inf"): 5.0}
    assert quantile(before, before, 0.5) is None
    assert quantile(before, {0.1: 5.0, 0.2: 15.0, float("inf"): 15.0}, 0.5) == 0.15
    assert quantile(before, {0.1: 5.0, 0.2: 5.0, float("inf"): 9.0}, 0.95) == 0.2
