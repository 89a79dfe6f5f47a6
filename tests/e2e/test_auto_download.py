"""`serve --auto-download` against a stand-in of the hub: alive at once, ready when the model is, honest about both."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gigastt.config import DEFAULT_MODEL
from gigastt.models.catalog import GIGAAM
from tests.clips import load_clips
from tests.fakes.hub import FakeHub, Fault, serve_hub
from tests.server import ServerProcess, begin_upload, receive_all
from tests.waiting import wait_for

FILES = {file.name: bytes(100) for file in GIGAAM.files} | {GIGAAM.encoder.name: bytes(1_000_000)}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """The real repository's names with other content; sent without digests, so that transfers begin."""
    with serve_hub(FakeHub(GIGAAM.repository, GIGAAM.revision, dict(FILES), small=frozenset(FILES))) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        yield running


def start(model_dir: Path) -> ServerProcess:
    return ServerProcess(
        "--model", DEFAULT_MODEL, "--model-dir", str(model_dir), "--auto-download", "--precision", "fp32", "--metrics"
    )


def test_alive_at_once_and_ready_tells_the_percent(hub: FakeHub, tmp_path: Path) -> None:
    hub.standing = Fault("stall", at=370_111)  # of 1,000,300 bytes in all
    server = start(tmp_path)
    try:
        wait_for(lambda: server.logged("listening"))
        assert server.get("/health").status_code == 200
        wait_for(lambda: "downloading 37 %" in server.get("/ready").text)
        answer = server.get("/ready")
        assert (answer.status_code, answer.json()["reason"]) == (503, "model_missing")

        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    finally:
        server.kill()

    (part,) = (tmp_path / DEFAULT_MODEL / ".partial").iterdir()
    assert part.stat().st_size == 370_111


def test_an_upload_that_waits_for_a_model_that_never_comes_is_told_so(hub: FakeHub, tmp_path: Path) -> None:
    hub.standing = Fault("stall", at=370_111)
    server = start(tmp_path)
    try:
        wait_for(lambda: "downloading 37 %" in server.get("/ready").text if server.logged("listening") else False, 30)
        file = load_clips()[1].path.read_bytes()
        with begin_upload(server, len(file)) as client:
            client.sendall(file)
            wait_for(lambda: "gigastt_upload_waiters 1" in server.get("/metrics").text)
            hub.standing = Fault("status", status=404)
            hub.released.set()
            answer = receive_all(client)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b'"code":"shutting_down"' in answer
        assert server.wait() == 5
    finally:
        server.kill()


def test_what_cannot_be_fetched_ends_the_server_with_one_line(hub: FakeHub, tmp_path: Path) -> None:
    server = start(tmp_path)
    try:
        assert server.wait() == 5
    finally:
        server.kill()

    [failed] = server.logged("failed")
    assert failed == server.events[-1]
    assert f"sends as {GIGAAM.encoder.name} is not that file" in failed["reason"]
    assert not (tmp_path / DEFAULT_MODEL / GIGAAM.encoder.name).exists()
