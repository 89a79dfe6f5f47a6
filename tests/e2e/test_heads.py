"""Each model of the catalogue, fetched from a stand-in of the hub and served: a live session says what the file says.

The models are tiny and random, under the names and with the tensors of the published ones.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gigastt.config import DEFAULT_MODEL
from gigastt.models.catalog import CATALOG
from gigastt.models.download import DownloadOptions, download_model
from tests.clips import load_clips
from tests.fakes.heads import write_model
from tests.fakes.hub import FakeHub, serve_hub
from tests.fakes.models import NO_PREPARATION
from tests.live_client import transcribe_live
from tests.server import ServerProcess

MODELS = [name for name in CATALOG if name != DEFAULT_MODEL]  # its content is fixed by digests


def fetch(model: str, folder: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a tiny model, and fetch it as `gigastt download` does."""
    entry = CATALOG[model]
    write_model(folder, entry.names)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("HF_HOME", str(folder))
    contents = {path.name: path.read_bytes() for path in folder.iterdir()}
    with serve_hub(
        FakeHub(entry.repository, entry.revision, contents, small=frozenset({entry.vocabulary.name}))
    ) as hub:
        download_model(entry, models, DownloadOptions(NO_PREPARATION, "fp32", mirror=hub.url))


@pytest.mark.parametrize("model", MODELS)
async def test_a_head_is_fetched_and_served_and_live_equals_file(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(model, tmp_path / "published", tmp_path / "models", monkeypatch)
    clip = load_clips()[1]
    with ServerProcess("--model", model, "--model-dir", str(tmp_path / "models"), "--pool-size", "1") as server:
        file = server.post("/v1/transcribe", clip.path.read_bytes()).json()
        live = await transcribe_live(server.websocket_url, clip.pcm)
        listed = server.get("/v1/models").json()
    words = [word for final in live.finals for word in final["words"]]
    assert words == file["words"] != []
    assert live.text == file["text"]
    assert all(0 < word["confidence"] <= 1 and word["start"] < word["end"] for word in words)
    assert (listed["id"], listed["vocab_size"]) == (model, 7)
    assert [(entry["id"], entry["served"]) for entry in listed["data"]] == [(model, True)]


def test_what_else_is_installed_is_listed_and_not_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for model in ("gigaam-v3-ctc", "gigaam-v3-rnnt"):
        fetch(model, tmp_path / model, tmp_path / "models", monkeypatch)
    with ServerProcess("--model-dir", str(tmp_path / "models"), "--pool-size", "1") as server:
        listed = server.get("/v1/models").json()["data"]
    assert [(entry["id"], entry["served"]) for entry in listed] == [
        ("demo", True),
        ("gigaam-v3-rnnt", False),
        ("gigaam-v3-ctc", False),
    ]
