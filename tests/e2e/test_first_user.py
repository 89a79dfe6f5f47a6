"""`--model auto`: the demo model at once, the real one behind it, and nobody who speaks meanwhile loses a word.

The real model is the demo model under the default one's name, sent by a stand-in of the hub.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gigastt.config import DEFAULT_MODEL, Settings
from gigastt.gateway.server.listener import bind
from gigastt.model_loading import find_model
from gigastt.models.fetch import FetchRequest
from gigastt.models.store import resolve
from gigastt.serve import serve_model
from tests.clips import load_clips
from tests.fakes.hub import FakeHub, Fault, serve_hub
from tests.fakes.models import REPOSITORY, REVISION, contents_of
from tests.live_client import live_client, transcribe_live
from tests.recordings import DEMO_MODEL
from tests.server import ServerProcess
from tests.waiting import wait_for

SECONDS = 60


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    with serve_hub(FakeHub(REPOSITORY, REVISION, contents_of(DEMO_MODEL))) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        yield running


def fetch_stand_in(request: FetchRequest) -> list[str]:
    assert request.model == DEFAULT_MODEL
    return [sys.executable, "-m", "tests.fakes.fetch_child", request.model_dir, str(DEMO_MODEL)]


def until_served(health: str) -> None:
    """Ask until the default model serves."""
    wait_for(lambda: httpx.get(health, trust_env=False).json()["model"] == DEFAULT_MODEL)


async def test_the_real_model_takes_over_under_a_session_that_loses_no_word(hub: FakeHub, tmp_path: Path) -> None:
    hub.standing = Fault("stall", at=1_000)
    settings = Settings(model="auto", model_dir=tmp_path / "models", pool_size=2, port=0, max_sessions=8)
    listeners = bind("127.0.0.1", 0)
    url = f"ws://127.0.0.1:{listeners[0].getsockname()[1]}/v1/ws"
    greeted = asyncio.Event()
    pcm = b"".join(clip.pcm for clip in load_clips()[:4])
    half = len(pcm) // 4 * 2

    def greet(at: str, demo: bool) -> None:
        assert demo
        greeted.set()

    async with asyncio.timeout(SECONDS):
        serving = asyncio.create_task(
            serve_model(settings, find_model(settings), listeners, [], lambda: settings, greet, fetch_stand_in)
        )
        try:
            await greeted.wait()
            control = await transcribe_live(url, pcm)
            async with live_client(url) as client:
                await client.configure(sample_rate=16_000)
                await client.wait_for(lambda seen: seen.of("ready"))
                assert client.of("ready")[0]["model"] == "demo"
                await client.stream(pcm[:half])
                hub.standing = None
                hub.released.set()
                await asyncio.to_thread(until_served, url.replace("ws:", "http:").replace("/v1/ws", "/health"))
                await client.stream(pcm[half:])
                await client.stop()
                assert client.text == control.text != ""
            assert (await transcribe_live(url, pcm)).text == control.text
            assert resolve("auto", settings.model_dir).name == DEFAULT_MODEL
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


def test_text_at_once_and_what_is_coming_where_the_hub_is_slow(hub: FakeHub, tmp_path: Path) -> None:
    hub.standing = Fault("stall", at=100)
    begun = time.monotonic()
    with ServerProcess("--model", "auto", "--model-dir", str(tmp_path / "models"), "--pool-size", "1") as server:
        answer = server.post("/v1/transcribe", load_clips()[1].path.read_bytes())
        took = time.monotonic() - begun
        assert answer.json()["text"] == load_clips()[1].reference
        assert server.get("/health").json()["model"] == "demo"
        assert server.logged("demo_model")
        assert took < SECONDS  # 0.9 s where nothing else runs


def test_without_a_network_the_demo_model_and_one_line_how_to_bring_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with ServerProcess("--model", "auto", "--model-dir", str(tmp_path / "models"), "--pool-size", "1") as server:
        wait_for(lambda: server.logged("no_better_model"))
        [event] = server.logged("no_better_model")
        assert str(tmp_path / "models") in event["message"]
        assert "gigastt download" in event["message"]
        assert server.post("/v1/transcribe", load_clips()[1].path.read_bytes()).json()["text"]
        assert server.get("/ready").json()["status"] == "ready"
        assert server.get("/v1/models").json()["data"][0]["served"] is True
