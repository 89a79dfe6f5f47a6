"""Prepacked encoders: same results, used only where they match, made where they can be written."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from filelock import FileLock

from benchmarks.conformer import EncoderShape, write_encoder
from gigastt.models.prepacked import FOLDER, LoadPlan, plan_load, prepack, prepare_load
from gigastt.models.room import SMALLEST_PREPACKED, FreeRoom
from gigastt.optimize.graph import Graph
from gigastt.optimize.observe import make_trial
from gigastt.optimize.pipeline import run_passes
from tests.system import children_of, is_running
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def optimized(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    source = tmp_path_factory.mktemp("source") / "fp32.onnx"
    onnx.save(write_encoder(EncoderShape(layers=1, width=64, heads=4), seed=2)[0], source)
    content: bytes = run_passes(Graph.load(source))[0].model(external=False)[0].SerializeToString()
    return content


@pytest.fixture
def encoder(tmp_path: Path, optimized: bytes) -> Path:
    path = tmp_path / "models" / "encoder.optimized.onnx"
    path.parent.mkdir()
    path.write_bytes(optimized)
    return path


def encode(path: Path) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    features = make_trial(1, 100)
    encoded: np.ndarray = session.run(None, {"audio_signal": features, "length": np.array([100])})[0]
    return encoded


def test_prepacked_form_gives_the_same_bits(encoder: Path) -> None:
    assert prepack(encoder) is not None
    plan = plan_load(encoder)
    assert plan.prepacked
    assert plan.encoder != encoder
    assert np.array_equal(encode(plan.encoder), encode(encoder))
    assert plan.encoder.parent.stat().st_mode & 0o777 == 0o755


def test_without_a_prepacked_form_the_plain_file_is_loaded(encoder: Path) -> None:
    assert plan_load(encoder) == LoadPlan(encoder, prepacked=False)


@pytest.mark.parametrize("suffix", ["", ".data"])
def test_prepacked_form_that_changed_is_not_used(encoder: Path, suffix: str) -> None:
    folder = prepack(encoder)
    assert folder is not None
    with (folder / f"{encoder.name}{suffix}").open("ab") as file:
        file.write(b"x")
    assert not plan_load(encoder).prepacked


def test_prepacked_form_of_another_encoder_is_not_used(encoder: Path) -> None:
    prepack(encoder)
    os.utime(encoder, ns=(0, 0))
    assert not plan_load(encoder).prepacked
    prepack(encoder)
    assert plan_load(encoder).prepacked


def test_record_that_is_no_json_is_not_believed(encoder: Path) -> None:
    folder = prepack(encoder)
    assert folder is not None
    (folder / "made_from.json").write_text("{", encoding="utf-8")
    assert not plan_load(encoder).prepacked


def test_form_of_another_version_of_onnxruntime_is_removed(encoder: Path) -> None:
    folder = prepack(encoder)
    assert folder is not None
    older = folder.with_name(folder.name.rpartition("-ort")[0] + "-ort0.9")
    folder.rename(older)
    assert not plan_load(encoder).prepacked
    prepack(encoder)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_where_the_models_cannot_be_written_the_cache_is_used(encoder: Path, cache: Path) -> None:
    (encoder.parent / FOLDER).write_text("in the way of the folder", encoding="utf-8")  # holds for root as well
    folder = prepack(encoder)
    assert folder is not None
    assert cache in folder.parents
    assert plan_load(encoder).prepacked


def test_where_nothing_can_be_written_the_plain_file_is_loaded(encoder: Path, cache: Path) -> None:
    (encoder.parent / FOLDER).write_text("in the way", encoding="utf-8")
    cache.write_text("in the way", encoding="utf-8")
    assert prepack(encoder) is None
    assert not plan_load(encoder).prepacked


@pytest.mark.parametrize("room", [FreeRoom(disk=lambda _: 1), FreeRoom(memory=lambda: 1)], ids=["disk", "memory"])
def test_without_room_for_it_no_prepacked_form_is_begun(encoder: Path, room: FreeRoom) -> None:
    os.truncate(encoder, 100 << 20)  # no model any more: to load it would fail
    assert prepack(encoder, room) is None
    assert list((encoder.parent / FOLDER).iterdir()) == []


@pytest.mark.slow
async def test_cancelled_preparation_ends_its_child(encoder: Path) -> None:
    hold_up(encoder)
    with FileLock(encoder.parent / f".{FOLDER}.lock"):
        preparing = asyncio.create_task(prepare_load(encoder))
        await wait_until(lambda: children_of(os.getpid(), "gigastt.models.prepacked"))
        [child] = children_of(os.getpid(), "gigastt.models.prepacked")
        preparing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(preparing, 5)
        assert not is_running(child)


def hold_up(encoder: Path) -> None:
    """Make an encoder so large that it is laid out for the processor."""
    with encoder.open("r+b") as file:
        file.truncate(SMALLEST_PREPACKED)


async def test_small_encoder_is_loaded_as_it_is(encoder: Path) -> None:
    assert await prepare_load(encoder) == LoadPlan(encoder, prepacked=False)
    assert not (encoder.parent / FOLDER).exists()
