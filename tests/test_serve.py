"""The composition root: what it does when its parts fail."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from gigastt.config import DEMO_MODEL, Settings
from gigastt.errors import DutyFailed, ModelInvalid, ModelMissing
from gigastt.gateway.server.listener import bind
from gigastt.log import fields_of
from gigastt.model_loading import find_model
from gigastt.models.catalog import DECODER, ENCODER_FP32, JOINT, VOCABULARY
from gigastt.models.disk import Seals, sha256_of
from gigastt.models.store import ModelFiles, resolve
from gigastt.serve import serve_model
from tests.server import ServerProcess, run_program


def test_a_missing_model_is_an_error_unless_it_may_be_fetched(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing):
        find_model(Settings(model_dir=tmp_path))
    assert find_model(Settings(model_dir=tmp_path, auto_download=True)) is None


def test_a_damaged_model_stops_the_server_unless_it_is_to_be_fetched(tmp_path: Path) -> None:
    for name in (ENCODER_FP32, DECODER, JOINT, VOCABULARY):
        (tmp_path / name).write_bytes(b"content")
    Seals(tmp_path).put(JOINT, "0" * 64)
    os.utime(tmp_path / JOINT, (1, 1))

    with pytest.raises(ModelInvalid):
        find_model(Settings(model_dir=tmp_path))
    assert find_model(Settings(model_dir=tmp_path, auto_download=True)) is None


def test_files_of_a_copied_directory_are_read_once_with_a_word_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (ENCODER_FP32, DECODER, JOINT, VOCABULARY):
        (tmp_path / name).write_bytes(b"content")
    Seals(tmp_path).put(JOINT, sha256_of(tmp_path / JOINT))
    os.utime(tmp_path / JOINT, (1, 1))

    find_model(Settings(model_dir=tmp_path))
    find_model(Settings(model_dir=tmp_path))

    events = [fields_of(record) for record in caplog.records]
    assert [(e["event"], e["files"], e["for_good"]) for e in events] == [("model_read_again", (JOINT,), True)]


def serve_until_it_fails(model: ModelFiles, metrics_listeners: list[socket.socket]) -> DutyFailed:
    """Run a server of which a part fails; return what it ends with."""
    settings = Settings(model=DEMO_MODEL, pool_size=1)

    async def run() -> None:
        async with asyncio.timeout(30):
            await serve_model(
                settings, model, bind("127.0.0.1", 0), metrics_listeners, Settings, lambda url, demo: None
            )

    with pytest.raises(DutyFailed) as failed:
        asyncio.run(run())
    return failed.value


@pytest.mark.slow
def test_a_model_that_is_gone_when_it_is_to_be_loaded_ends_the_server(tmp_path: Path) -> None:
    model = replace(resolve(DEMO_MODEL, Path()), encoder=tmp_path / "gone.onnx")
    assert "workers" in str(serve_until_it_fails(model, []))


@pytest.mark.slow
def test_a_metrics_listener_that_fails_ends_the_server() -> None:
    closed = socket.socket()
    closed.close()
    assert "metrics" in str(serve_until_it_fails(resolve(DEMO_MODEL, Path()), [closed]))


@pytest.mark.e2e
def test_workers_that_cannot_load_the_model_end_the_server_with_one_clear_line(tmp_path: Path) -> None:
    for name in ("encoder.onnx", "decoder.onnx", "joint.onnx", "vocab.txt"):
        (tmp_path / f"v3_e2e_rnnt_{name}").write_text("not a model")
    done = run_program(["serve", "--model-dir", str(tmp_path), "--port", "0", "--pool-size", "1"])
    assert done.returncode == 4
    last = json.loads(done.stderr.splitlines()[-1])
    assert (last["event"], last["level"], last["exit_code"]) == ("failed", "error", 4)
    assert last["reason"].startswith("The inference workers end before they are ready")
    assert "Traceback" not in done.stderr


@pytest.mark.e2e
def test_metrics_have_their_own_listener() -> None:
    with ServerProcess("--pool-size", "1", "--metrics-listen", "127.0.0.1:0") as server:
        [listening] = server.logged("metrics_listening")
        text = httpx.get(f"http://127.0.0.1:{listening['port']}/metrics").text
        assert 'gigastt_build_info{model="demo"' in text
        assert "gigastt_workers_ready 1.0" in text
        rebound = httpx.get(f"http://127.0.0.1:{listening['port']}/metrics", headers={"host": "evil.example"})
        assert (rebound.status_code, rebound.json()["code"]) == (421, "host_denied")
        refused = server.get("/metrics")
        assert (refused.status_code, refused.json()["code"]) == (404, "metrics_disabled")
