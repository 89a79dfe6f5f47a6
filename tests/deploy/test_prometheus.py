"""Real Prometheus scrapes a server that works a little: every query of the dashboard and every alert has its answer."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clips import load_clips
from tests.deploy.proxies import free_ports
from tests.deploy.test_monitoring import ALERTS, alert_rules, dashboard_queries
from tests.deploy.toolbox import find, passes
from tests.live_client import live_client
from tests.server import ServerProcess
from tests.waiting import wait_for

CONFIGURATION = """
global: {{scrape_interval: 500ms, evaluation_interval: 500ms}}
rule_files: [{rules}]
scrape_configs:
  - job_name: gigastt
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
WINDOW = "1m"
KEY = "0123456789abcdef0123456789abcdef"
HEADERS = {"Authorization": f"Bearer {KEY}"}

# What may have no data, and why. Everything else has some after the work below.
MAY_BE_EMPTY = {
    "gigastt_worker_restarts_total": "no worker died",
    'status=~"5.."': "no request failed, unless somebody asked whether the server was ready while it started",
}

pytestmark = pytest.mark.e2e


class Prometheus:
    """A Prometheus of the test's own."""

    def __init__(self, folder: Path, target: int) -> None:
        [self._port] = free_ports(1)
        configuration = folder / "prometheus.yml"
        configuration.write_text(CONFIGURATION.format(rules=ALERTS, port=target), encoding="utf-8")
        flags = [f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}", "--log.level=error"]
        listen = f"--web.listen-address=127.0.0.1:{self._port}"
        environment = {**os.environ, "GOMAXPROCS": "1"}
        self._process = subprocess.Popen([find("prometheus"), *flags, listen], env=environment)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self._port}/api/v1", timeout=30.0)
        wait_for(self._answers)

    def _answers(self) -> bool:
        assert self._process.poll() is None, "Prometheus ended"
        try:
            return self.client.get("/status/buildinfo").status_code == 200
        except httpx.HTTPError:
            return False

    def query(self, expression: str) -> list[float]:
        """Return the value of every series of an answer."""
        answer = self.client.get("/query", params={"query": expression}).json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        assert not answer.get("warnings"), f"{expression}: {answer}"
        return [float(series["value"][1]) for series in answer["data"]["result"]]

    def stop(self) -> None:
        self.client.close()
        self._process.terminate()
        self._process.wait(30)


def filled_in(expression: str) -> str:
    """Return a query as Grafana asks it with every variable at "All"."""
    return expression.replace("$__rate_interval", WINDOW).replace("$job", ".*").replace("$instance", ".*")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(f"desk:{hashlib.sha256(KEY.encode()).hexdigest()}\n", encoding="utf-8")
    listen = ["--metrics-listen", "127.0.0.1:0", "--api-keys-file", str(keys)]
    with ServerProcess("--pool-size", "1", "--max-sessions", "2", *listen) as running:
        yield running


@pytest.fixture(scope="module")
def metrics_port(server: ServerProcess) -> int:
    return int(server.logged("metrics_listening")[0]["port"])


@pytest.fixture(scope="module")
def prometheus(
    server: ServerProcess, metrics_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """Prometheus that has seen the server before, during and after a little work of every kind."""
    one = Prometheus(tmp_path_factory.mktemp("prometheus"), metrics_port)
    try:
        wait_for(lambda: one.query("gigastt_workers_ready == 1"))
        asyncio.run(work(server))
        wait_for(lambda: one.query('gigastt_http_requests_total{path="/v1/transcribe", status="200"} == 1'))
        asyncio.run(work(server))  # a series is seen to grow only where it was seen before
        wait_for(lambda: one.query('gigastt_http_requests_total{path="/v1/transcribe", status="200"} == 2'))
        wait_for(lambda: one.query("increase(gigastt_final_latency_seconds_count[1m]) > 0"))
        yield one
    finally:
        one.stop()


async def work(server: ServerProcess) -> None:
    """Have a live session with a partial and a final, an upload, and a refusal."""
    clip = load_clips()[0]
    async with live_client(server.websocket_url, additional_headers=HEADERS) as client:
        await client.configure(sample_rate=16_000)
        await client.stream(clip.pcm[: len(clip.pcm) // 2 // 2 * 2])
        await client.wait_for(lambda session: session.of("partial"))
        await client.stream(clip.pcm[len(clip.pcm) // 2 // 2 * 2 :])
        await client.stop()
    assert (
        await asyncio.to_thread(server.post, "/v1/transcribe", clip.path.read_bytes(), headers=HEADERS)
    ).status_code == 200
    assert (await asyncio.to_thread(server.get, "/nowhere", headers=HEADERS)).status_code == 404


def test_every_query_of_the_dashboard_has_data(prometheus: Prometheus) -> None:
    queries = dashboard_queries()
    empty = [query for query in queries if not any(map(math.isfinite, prometheus.query(filled_in(query))))]
    assert [query for query in empty if not any(part in query for part in MAY_BE_EMPTY)] == []
    for part in MAY_BE_EMPTY:
        assert any(part in query for query in queries)


def test_the_metrics_of_a_server_at_work_are_as_prometheus_wants_them(server: ServerProcess, metrics_port: int) -> None:
    passes("promtool", "check", "metrics", input=httpx.get(f"http://127.0.0.1:{metrics_port}/metrics").text)


def test_every_alert_is_evaluated_and_a_killed_worker_raises_one(prometheus: Prometheus, server: ServerProcess) -> None:
    def rules() -> dict[str, dict[str, Any]]:
        groups = prometheus.client.get("/rules").json()["data"]["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    wait_for(lambda: all(rule["health"] == "ok" for rule in rules().values()))
    assert rules().keys() == {rule["alert"] for rule in alert_rules()}
    quiet = {name: rule["state"] for name, rule in rules().items() if rule["state"] == "firing"}
    assert quiet == {}
    [worker] = server.worker_pids()
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: rules()["GigasttWorkerRestarted"]["state"] == "firing")
    firing = prometheus.client.get("/alerts").json()["data"]["alerts"]
    [labels] = [alert["labels"] for alert in firing if alert["state"] == "firing"]
    assert labels["alertname"] == "GigasttWorkerRestarted", json.dumps(labels)
    assert labels["reason"]
    wait_for(lambda: server.get("/ready").status_code == 200 and server.worker_pids() not in ([], [worker]))
