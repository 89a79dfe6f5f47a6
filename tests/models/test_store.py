"""Finding a complete set of model files: layouts, forms, trust, and messages that name the ways on."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from gigastt.config import DEFAULT_MODEL
from gigastt.errors import ConfigError, ModelInvalid, ModelMissing
from gigastt.models.catalog import (
    DECODER,
    ENCODER_FP32,
    ENCODER_INT8,
    ENCODER_INT8_ORIGINAL,
    ENCODER_OPTIMIZED,
    JOINT,
    VOCABULARY,
    FileNames,
)
from gigastt.models.disk import Seals, sha256_of
from gigastt.models.store import installed, resolve

SEARCH_WEIGHTS = "v3_e2e_rnnt_search.npy"
ALL = (ENCODER_FP32, DECODER, JOINT, VOCABULARY)


def fill(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"content of " + name.encode())


def test_demo_model_is_complete_fp32_and_says_what_it_is(tmp_path: Path) -> None:
    files = resolve("demo", tmp_path)

    assert files.demo
    assert (files.name, files.form) == ("demo", "fp32")
    assert "synthetic" in files.title
    assert all(path.is_file() for path in files.paths)


def test_demo_model_in_int8_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="fp32 only"):
        resolve("demo", tmp_path, "int8")


def test_nothing_at_all_names_both_ways_on(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing) as caught:
        resolve(DEFAULT_MODEL, tmp_path / "models")

    assert caught.value.exit_code == 3
    assert "gigastt download --model-dir" in str(caught.value)
    assert "--model demo" in str(caught.value)


def test_an_interrupted_download_is_mentioned(tmp_path: Path) -> None:
    fill(tmp_path / DEFAULT_MODEL / ".partial", "encoder.part")

    with pytest.raises(ModelMissing, match="go on where it stopped"):
        resolve(DEFAULT_MODEL, tmp_path)


def test_unknown_model_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        resolve("whisper", tmp_path)


@pytest.mark.parametrize("layout", [".", DEFAULT_MODEL])
def test_files_are_found_in_a_folder_of_the_models_name_or_directly(tmp_path: Path, layout: str) -> None:
    fill(tmp_path / layout, *ALL)

    files = resolve(DEFAULT_MODEL, tmp_path)

    assert files.directory == tmp_path / layout
    assert not files.demo
    assert files.search is None


def test_folder_of_the_models_name_comes_first_when_complete(tmp_path: Path) -> None:
    fill(tmp_path, *ALL)
    fill(tmp_path / DEFAULT_MODEL, ENCODER_FP32, DECODER)
    assert resolve(DEFAULT_MODEL, tmp_path).directory == tmp_path

    fill(tmp_path / DEFAULT_MODEL, *ALL)
    assert resolve(DEFAULT_MODEL, tmp_path).directory == tmp_path / DEFAULT_MODEL


@pytest.mark.parametrize(
    ("present", "precision", "encoder", "form"),
    [
        ((ENCODER_FP32, ENCODER_INT8, ENCODER_OPTIMIZED), "auto", ENCODER_OPTIMIZED, "optimized"),
        ((ENCODER_FP32, ENCODER_INT8, ENCODER_OPTIMIZED), "int8", ENCODER_OPTIMIZED, "optimized"),
        ((ENCODER_FP32, ENCODER_INT8, ENCODER_OPTIMIZED), "fp32", ENCODER_FP32, "fp32"),
        ((ENCODER_FP32, ENCODER_INT8), "auto", ENCODER_INT8, "int8"),
        ((ENCODER_FP32, ENCODER_INT8_ORIGINAL), "auto", ENCODER_FP32, "fp32"),
        ((ENCODER_FP32, ENCODER_INT8_ORIGINAL), "int8", ENCODER_INT8_ORIGINAL, "int8"),
        ((ENCODER_FP32,), "auto", ENCODER_FP32, "fp32"),
    ],
)
def test_encoder_is_chosen_by_precision(
    tmp_path: Path, present: tuple[str, ...], precision: str, encoder: str, form: str
) -> None:
    fill(tmp_path, *present, DECODER, JOINT, VOCABULARY)

    files = resolve(DEFAULT_MODEL, tmp_path, precision)  # type: ignore[arg-type]  # parametrised text

    assert (files.encoder.name, files.form) == (encoder, form)


def test_search_weights_are_named_where_they_lie(tmp_path: Path) -> None:
    fill(tmp_path, *ALL, SEARCH_WEIGHTS)

    assert resolve(DEFAULT_MODEL, tmp_path).search == tmp_path / SEARCH_WEIGHTS


def test_incomplete_directory_says_what_is_missing(tmp_path: Path) -> None:
    fill(tmp_path, ENCODER_FP32, VOCABULARY)
    (tmp_path / JOINT).write_bytes(b"")

    with pytest.raises(ModelMissing, match=rf"{DECODER}, {JOINT} missing.*gigastt download.*--model demo"):
        resolve(DEFAULT_MODEL, tmp_path)


def test_an_encoder_for_cards_is_taken_where_it_is_wanted_and_nowhere_else(tmp_path: Path) -> None:
    fill(tmp_path, FileNames().halved, DECODER, JOINT, VOCABULARY)
    assert resolve(DEFAULT_MODEL, tmp_path, "fp16").form == "fp16"
    assert installed(tmp_path) == [DEFAULT_MODEL]
    with pytest.raises(ModelMissing, match="an encoder missing"):
        resolve(DEFAULT_MODEL, tmp_path)
    assert resolve("demo", tmp_path, "fp16").form == "fp32"


def test_wish_for_fp32_where_only_int8_lies_names_the_command(tmp_path: Path) -> None:
    fill(tmp_path, ENCODER_INT8, DECODER, JOINT, VOCABULARY)

    with pytest.raises(ModelMissing, match=r"an encoder in fp32 missing.*--precision fp32"):
        resolve(DEFAULT_MODEL, tmp_path, "fp32")


def test_read_only_directory_works(tmp_path: Path) -> None:
    fill(tmp_path, *ALL)
    Seals(tmp_path).put(JOINT, sha256_of(tmp_path / JOINT))
    tmp_path.chmod(0o555)
    try:
        assert resolve(DEFAULT_MODEL, tmp_path).joint == tmp_path / JOINT
    finally:
        tmp_path.chmod(0o755)


def test_sealed_file_that_was_only_touched_is_still_good(tmp_path: Path) -> None:
    fill(tmp_path, *ALL)
    Seals(tmp_path).put(JOINT, sha256_of(tmp_path / JOINT))
    os.utime(tmp_path / JOINT, (1, 1))

    assert resolve(DEFAULT_MODEL, tmp_path).joint == tmp_path / JOINT


def test_touched_files_are_read_once_and_sealed_again(tmp_path: Path) -> None:
    fill(tmp_path, *ALL)
    for name in (ENCODER_FP32, JOINT):
        Seals(tmp_path).put(name, sha256_of(tmp_path / name))
        os.utime(tmp_path / name, (1, 1))

    first, second = resolve(DEFAULT_MODEL, tmp_path), resolve(DEFAULT_MODEL, tmp_path)

    assert (first.read_again, first.sealed_again) == ((ENCODER_FP32, JOINT), True)
    assert (second.read_again, second.sealed_again) == ((), False)
    assert Seals(tmp_path).state(JOINT) == "good"


def test_sealed_file_whose_content_changed_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, *ALL)
    Seals(tmp_path).put(ENCODER_FP32, sha256_of(tmp_path / ENCODER_FP32))
    (tmp_path / ENCODER_FP32).write_bytes(b"content that nobody checked")

    with pytest.raises(ModelInvalid, match=r"has changed since it was fetched.*gigastt download"):
        resolve(DEFAULT_MODEL, tmp_path)


def test_damaged_seals_are_as_good_as_none(tmp_path: Path) -> None:
    fill(tmp_path, *ALL)
    (tmp_path / ".seals.json").write_text('{"files": {"v3_e2e_rnnt_joint.onnx": 7}}')

    assert resolve(DEFAULT_MODEL, tmp_path).form == "fp32"
    assert Seals(tmp_path).state(JOINT) == "none"


def test_seals_are_written_whole_and_read_back(tmp_path: Path) -> None:
    fill(tmp_path, *ALL)
    seals = Seals(tmp_path)
    seals.put(JOINT, "a" * 64)
    seals.put(DECODER, "b" * 64)
    seals.drop(JOINT)

    again = Seals(tmp_path)

    assert again.get(JOINT) is None
    assert again.state(DECODER) == "good"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*ALL, ".seals.json"])


def test_digest_is_that_of_the_content_whatever_its_length(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000 + b"odd"
    (tmp_path / "file").write_bytes(content)

    assert sha256_of(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_git_lfs_pointer_is_recognised(tmp_path: Path) -> None:
    fill(tmp_path, *ALL)
    (tmp_path / ENCODER_FP32).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")

    with pytest.raises(ModelInvalid, match="Git LFS pointer"):
        resolve(DEFAULT_MODEL, tmp_path)


def test_an_optimised_encoder_that_costs_words_is_not_the_default_where_fp32_is_here(tmp_path: Path) -> None:
    fill(tmp_path, ENCODER_OPTIMIZED, *ALL)
    (tmp_path / ENCODER_OPTIMIZED).with_suffix(".json").write_text('{"is_default": false}')
    assert resolve(DEFAULT_MODEL, tmp_path).form == "fp32"
    assert resolve(DEFAULT_MODEL, tmp_path, "int8").form == "optimized"
    (tmp_path / ENCODER_FP32).unlink()
    assert resolve(DEFAULT_MODEL, tmp_path).form == "optimized"


def test_what_is_installed_is_what_is_complete(tmp_path: Path) -> None:
    fill(tmp_path / DEFAULT_MODEL, *ALL)
    fill(tmp_path / "gigaam-v3-ctc", "v3_ctc.int8.onnx")
    assert installed(tmp_path) == [DEFAULT_MODEL]
    fill(tmp_path / "gigaam-v3-ctc", "v3_vocab.txt")
    assert installed(tmp_path) == [DEFAULT_MODEL, "gigaam-v3-ctc"]
    assert resolve("gigaam-v3-ctc", tmp_path).paths == (
        tmp_path / "gigaam-v3-ctc" / "v3_ctc.int8.onnx",
        tmp_path / "gigaam-v3-ctc" / "v3_vocab.txt",
    )
