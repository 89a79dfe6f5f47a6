"""What doctor is told about the files of a model."""

from __future__ import annotations

import hashlib
from pathlib import Path

from gigastt.config import DEFAULT_MODEL
from gigastt.models.catalog import DECODER, ENCODER_FP32, ENCODER_INT8, ENCODER_OPTIMIZED, JOINT, VOCABULARY
from gigastt.models.inspect import inspect_model
from gigastt.models.seals import Seals, sha256_of


def fill(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"content of " + name.encode())


def test_each_file_is_named_with_its_standing_and_use(tmp_path: Path) -> None:
    folder = tmp_path / DEFAULT_MODEL
    fill(folder, ENCODER_FP32, ENCODER_INT8, ENCODER_OPTIMIZED, DECODER, JOINT, VOCABULARY)
    seals = Seals(folder)
    seals.put(ENCODER_OPTIMIZED, sha256_of(folder / ENCODER_OPTIMIZED))
    seals.put(JOINT, "0" * 64)

    (place,) = inspect_model(DEFAULT_MODEL, tmp_path)

    assert place.in_use
    assert place.missing == ()
    assert {file.path.name: (file.standing, file.in_use) for file in place.files} == {
        ENCODER_OPTIMIZED: ("sealed", True),
        ENCODER_INT8: ("unknown", False),
        ENCODER_FP32: ("other", False),
        DECODER: ("other", True),
        JOINT: ("changed", True),
        VOCABULARY: ("other", True),
    }
    optimized = place.files[0]
    assert optimized.size == len(b"content of " + ENCODER_OPTIMIZED.encode())
    assert optimized.sha256 == hashlib.sha256(optimized.path.read_bytes()).hexdigest()


def test_both_places_are_shown_and_the_first_complete_one_is_in_use(tmp_path: Path) -> None:
    fill(tmp_path, ENCODER_INT8, DECODER, JOINT, VOCABULARY)
    fill(tmp_path / DEFAULT_MODEL, DECODER)
    (tmp_path / DEFAULT_MODEL / ".partial").mkdir()
    (tmp_path / DEFAULT_MODEL / ".partial" / "encoder.part").write_bytes(bytes(77))

    ours, flat = inspect_model(DEFAULT_MODEL, tmp_path)

    assert (ours.in_use, ours.partial_bytes, ours.missing) == (False, 77, (JOINT, VOCABULARY, "an encoder"))
    assert (flat.in_use, flat.partial_bytes, flat.missing) == (True, 0, ())


def test_empty_directory_has_nothing_to_show(tmp_path: Path) -> None:
    assert inspect_model(DEFAULT_MODEL, tmp_path) == []


def test_demo_model_is_shown_complete() -> None:
    (place,) = inspect_model("demo", Path("nowhere"))

    assert place.in_use
    assert {file.standing for file in place.files} == {"unknown"}
