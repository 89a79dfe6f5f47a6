"""Speaker models: which one a setting names, and how one is fetched."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import pytest

from gigastt.errors import ConfigError, DownloadFailed, ModelInvalid, ModelMissing
from gigastt.models.disk import Seals
from gigastt.models.speaker_models import SPEAKER_CATALOG, SPEAKERS, SpeakerModel, download_speakers, resolve_speakers
from tests.fakes.hub import FakeHub, Fault, serve_hub

ENTRY = SPEAKER_CATALOG[SPEAKERS]
CONTENT = bytes(range(256)) * 4_000


def resolve(choice: str, model_dir: Path) -> SpeakerModel:
    model = resolve_speakers(choice, model_dir)
    assert model is not None
    return model


def test_what_comes_with_the_program_serves_until_a_better_one_is_here(tmp_path: Path) -> None:
    small = resolve("auto", tmp_path)
    assert (small.name, small.embedding.is_file(), small.segmentation.is_file()) == ("small", True, True)

    path = tmp_path / SPEAKERS / ENTRY.file.name
    path.parent.mkdir()
    path.write_bytes(CONTENT)

    assert resolve("auto", tmp_path).embedding == path
    assert resolve("campplus-zh-en", tmp_path).embedding == path
    assert resolve("small", tmp_path) == small
    assert resolve_speakers("off", tmp_path) is None


def test_a_file_by_path_is_taken_with_a_likeness_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(CONTENT)

    model = resolve_speakers(str(path), tmp_path, likeness=0.37)

    assert model is not None
    assert (model.name, model.embedding, model.likeness) == ("mine", path, 0.37)


def test_a_name_that_is_none_and_a_model_that_is_not_here_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="campplus-zh-en"):
        resolve_speakers("best", tmp_path)
    with pytest.raises(ModelMissing, match="gigastt download --model resnet34-lm"):
        resolve_speakers("resnet34-lm", tmp_path)


@pytest.mark.slow
def test_a_speaker_model_is_fetched_checked_and_sealed_once(tmp_path: Path) -> None:
    hub = FakeHub(ENTRY.repository, ENTRY.revision, {ENTRY.file.name: CONTENT}, faults=deque([Fault("die", 5_000)]))
    with serve_hub(hub) as running:
        mirror = f"http://127.0.0.1:{running.hub_port}"
        path, fetched = download_speakers(ENTRY, tmp_path, mirror)
        again = download_speakers(ENTRY, tmp_path, mirror)

    assert (path.read_bytes(), fetched, again) == (CONTENT, True, (path, False))
    assert Seals(path.parent).state(path.name) == "good"
    assert resolve("auto", tmp_path).embedding == path
    path.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(ModelInvalid, match="has changed"):
        resolve("auto", tmp_path)
    assert not (path.parent / ".partial").exists()


@pytest.mark.slow
def test_what_is_not_the_file_is_not_taken(tmp_path: Path) -> None:
    hub = FakeHub(ENTRY.repository, ENTRY.revision, {ENTRY.file.name: CONTENT}, standing=Fault("flip", 5_000))
    with serve_hub(hub) as running, pytest.raises(DownloadFailed, match="thrown away"):
        download_speakers(ENTRY, tmp_path, f"http://127.0.0.1:{running.hub_port}")

    assert not (tmp_path / SPEAKERS / ENTRY.file.name).exists()
