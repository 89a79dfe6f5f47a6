"""The composition root: what it does when its parts fail, and when limits are read again."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from gigastt.config import Limits, Settings
from gigastt.errors import ConfigError, ModelMissing
from gigastt.gateway.app import create_app
from gigastt.gateway.server import Server
from gigastt.serve import find_model, reload_limits
from tests.fakes.pool import Fakes
from tests.server import ServerProcess, run_program


def test_a_missing_model_is_an_error_unless_it_may_be_fetched(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing):
        find_model(Settings(model_dir=tmp_path))
    assert find_model(Settings(model_dir=tmp_path, auto_download=True)) is None


async def test_limits_are_read_again() -> None:
    context = Fakes().context()
    server = Server(create_app(context), max_frame_bytes=1000)
    reload_limits(context, server, lambda: Limits(ws_frame_max_bytes=2000, rate_limit_per_minute=5))
    assert context.limits.rate_limit_per_minute == 5
    assert server.config.ws_max_size == 2000


async def test_limits_stay_when_they_cannot_be_read() -> None:
    def fail() -> Limits:
        raise ConfigError("limits.toml: not a number")

    context = Fakes().context(Limits(idle_timeout_secs=7))
    server = Server(create_app(context), max_frame_bytes=1000)
    reload_limits(context, server, fail)
    assert context.limits.idle_timeout_secs == 7
    assert server.config.ws_max_size == 1000


@pytest.mark.e2e
def test_workers_that_cannot_load_the_model_end_the_server_with_one_clear_line(tmp_path: Path) -> None:
    for name in ("encoder.onnx", "decoder.onnx", "joint.onnx", "vocab.txt"):
        (tmp_path / f"v3_e2e_rnnt_{name}").write_text("not a model")
    done = run_program(["serve", "--model-dir", str(tmp_path), "--port", "0", "--pool-size", "1"])
    assert done.returncode == 4
    assert done.stderr.splitlines()[-1].startswith("gigastt: The inference workers end before they are ready")
    assert "Traceback" not in done.stderr


@pytest.mark.e2e
def test_metrics_have_their_own_listener() -> None:
    with ServerProcess("--pool-size", "1", "--metrics-listen", "127.0.0.1:0") as server:
        [listening] = server.logged("metrics_listening")
        text = httpx.get(f"http://127.0.0.1:{listening['port']}/metrics").text
        assert 'gigastt_build_info{model="demo"' in text
        assert "gigastt_workers_ready 1.0" in text
        refused = server.get("/metrics")
        assert (refused.status_code, refused.json()["code"]) == (404, "metrics_disabled")
