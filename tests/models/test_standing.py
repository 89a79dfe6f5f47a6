"""What doctor is told about the files of a model."""

from __future__ import annotations

from pathlib import Path

from gigastt.config import DEFAULT_MODEL
from gigastt.models.catalog import DECODER, ENCODER_FP32, ENCODER_INT8, ENCODER_OPTIMIZED, JOINT, VOCABULARY
from gigastt.models.seals import Seals, sha256_of
from gigastt.models.standing import judge
from gigastt.models.store import resolve


def fill(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"content of " + name.encode())


def test_each_file_in_use_has_its_standing(tmp_path: Path) -> None:
    folder = tmp_path / DEFAULT_MODEL
    fill(folder, ENCODER_FP32, ENCODER_INT8, ENCODER_OPTIMIZED, DECODER, JOINT, VOCABULARY)
    Seals(folder).put(ENCODER_OPTIMIZED, sha256_of(folder / ENCODER_OPTIMIZED))
    files = resolve(DEFAULT_MODEL, tmp_path)
    Seals(folder).put(JOINT, "0" * 64)

    assert judge(files) == {ENCODER_OPTIMIZED: "sealed", DECODER: "other", JOINT: "changed", VOCABULARY: "other"}
    assert judge(resolve(DEFAULT_MODEL, tmp_path, "fp32"))[ENCODER_FP32] == "other"


def test_published_int8_encoder_whose_digest_only_the_hub_tells_is_unknown(tmp_path: Path) -> None:
    fill(tmp_path, ENCODER_INT8, DECODER, JOINT, VOCABULARY)

    assert judge(resolve(DEFAULT_MODEL, tmp_path))[ENCODER_INT8] == "unknown"


def test_nobody_has_published_the_demo_model() -> None:
    assert set(judge(resolve("demo", Path("nowhere"))).values()) == {"unknown"}
