"""What happens around the optimiser: room, lock, seals, and a source that stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gigastt.config import DEFAULT_MODEL
from gigastt.errors import ModelInvalid, NotEnoughRoom
from gigastt.models.catalog import DECODER, ENCODER_FP32, ENCODER_OPTIMIZED, JOINT, VOCABULARY, FileNames
from gigastt.models.disk import Seals
from gigastt.models.install import Preparation, optimize_files
from gigastt.models.room import FreeRoom
from gigastt.models.stages import DownloadProgress, Snapshot
from gigastt.models.store import resolve

COMMON = {DECODER, JOINT, VOCABULARY}


def halve(source: Path, target: Path, names: FileNames, tell: Callable[[str], None]) -> list[str]:
    """Stand for the graph work."""
    target.write_bytes(source.read_bytes()[::2])
    return ["half as large"]


def refuse(source: Path, target: Path, names: FileNames, tell: Callable[[str], None]) -> list[str]:
    """Stand for a file that is not an encoder."""
    raise ModelInvalid(f"{source.name} is not an encoder.")


def note(encoder: Path, names: FileNames) -> list[str]:
    """Stand for preparing load and search."""
    return [f"prepared {encoder.name}"]


PREPARATION = Preparation(halve, note)


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    for name in (ENCODER_FP32, *COMMON):
        (tmp_path / name).write_bytes(b"content of " + name.encode())
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_optimised_encoder_lies_sealed_beside_the_fp32_one(model_dir: Path) -> None:
    seen: list[Snapshot] = []

    folder, report = optimize_files(
        resolve(DEFAULT_MODEL, model_dir, "fp32"), None, DownloadProgress(seen.append), PREPARATION
    )

    assert (folder, report) == (model_dir, ["half as large", f"prepared {ENCODER_OPTIMIZED}"])
    assert names(model_dir) == {ENCODER_FP32, ENCODER_OPTIMIZED, *COMMON}
    assert Seals(model_dir).state(ENCODER_OPTIMIZED) == "good"
    assert resolve(DEFAULT_MODEL, model_dir).form == "optimized"
    assert [snapshot.describe() for snapshot in seen] == ["optimizing", "optimizing", "done"]


def test_an_encoder_for_cards_lies_beside_the_one_for_processors(model_dir: Path) -> None:
    source = resolve(DEFAULT_MODEL, model_dir, "fp32")
    for for_cards in (False, True):
        optimize_files(source, None, DownloadProgress(), PREPARATION, for_cards=for_cards)

    halved = FileNames().halved
    assert names(model_dir) == {ENCODER_FP32, ENCODER_OPTIMIZED, halved, *COMMON}
    assert Seals(model_dir).state(halved) == "good"
    assert resolve(DEFAULT_MODEL, model_dir).form == "optimized"
    assert resolve(DEFAULT_MODEL, model_dir, "fp16").form == "fp16"


def test_leftovers_of_a_killed_process_are_cleared_away(model_dir: Path) -> None:
    (model_dir / f"{ENCODER_OPTIMIZED}.4711.partial").write_bytes(b"half a file")

    optimize_files(resolve(DEFAULT_MODEL, model_dir, "fp32"), None, DownloadProgress(), PREPARATION)

    assert names(model_dir) == {ENCODER_FP32, ENCODER_OPTIMIZED, *COMMON}


def test_other_folder_gets_a_complete_set_and_the_source_stays_untouched(model_dir: Path, tmp_path: Path) -> None:
    source = resolve(DEFAULT_MODEL, model_dir, "fp32")
    before = names(model_dir)

    folder, _ = optimize_files(source, tmp_path / "new" / "place", DownloadProgress(), PREPARATION)

    assert names(folder) == {ENCODER_OPTIMIZED, *COMMON}
    assert resolve(DEFAULT_MODEL, folder).form == "optimized"
    assert names(model_dir) - {"new"} == before


def test_file_that_is_not_an_encoder_leaves_nothing(model_dir: Path) -> None:
    preparation = Preparation(refuse, note)

    with pytest.raises(ModelInvalid):
        optimize_files(resolve(DEFAULT_MODEL, model_dir, "fp32"), None, DownloadProgress(), preparation)

    assert names(model_dir) == {ENCODER_FP32, *COMMON}
    assert resolve(DEFAULT_MODEL, model_dir).form == "fp32"


def test_too_little_memory_is_told_before_the_work(model_dir: Path) -> None:
    files, room = resolve(DEFAULT_MODEL, model_dir, "fp32"), FreeRoom(memory=lambda: 10)

    with pytest.raises(NotEnoughRoom, match="Optimising the encoder needs"):
        optimize_files(files, None, DownloadProgress(), PREPARATION, room)

    assert names(model_dir) == {ENCODER_FP32, *COMMON}
