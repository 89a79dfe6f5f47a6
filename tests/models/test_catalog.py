"""The catalogue's facts, and the demonstration model that ships with the package."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

import gigastt.models
from gigastt.errors import ConfigError
from gigastt.models.catalog import CATALOG, ENCODER_INT8, GIGAAM, find, names_of

DEMO = Path(gigastt.models.__file__).parent / "demo"


def test_every_model_has_a_pinned_revision_and_digests_that_look_like_sha256() -> None:
    for entry in CATALOG.values():
        assert re.fullmatch(r"[0-9a-f]{40}", entry.revision) or "multilingual" in entry.name
        for file in entry.files:
            assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)


def test_only_the_published_int8_encoder_has_no_digest_of_its_own() -> None:
    assert [file.name for file in GIGAAM.files if file.sha256 is None] == [ENCODER_INT8]
    assert GIGAAM.joint is not None
    assert GIGAAM.digest("v3_e2e_rnnt_joint.onnx") == GIGAAM.joint.sha256
    assert GIGAAM.digest("something_else.onnx") is None


def test_names_tell_the_head() -> None:
    assert names_of("demo") == GIGAAM.names
    assert names_of("gigaam-v3-ctc").common == ("v3_vocab.txt",)
    assert names_of("gigaam-v3-ctc").optimized == "v3_ctc.optimized.onnx"
    assert names_of("gigaam-v3-rnnt").common == ("v3_rnnt_decoder.onnx", "v3_rnnt_joint.onnx", "v3_vocab.txt")
    assert names_of("gigaam-multilingual-large-ctc").encoder == "multilingual_large_ctc.onnx"


def test_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"gigaam-v3-e2e-rnnt, .*, demo, auto, but got 'whisper'"):
        find("whisper")


def test_demo_model_needs_no_download() -> None:
    with pytest.raises(ConfigError, match="needs no download"):
        find("demo")


def test_demo_files_are_those_that_their_readme_names() -> None:
    rows = re.findall(
        r"^\| `(\S+)`[^|]*\| (\d+) \| `([0-9a-f]{64})` \|$", (DEMO / "README.md").read_text("utf-8"), re.M
    )
    assert len(rows) == 4
    for name, size, sha256 in rows:
        content = (DEMO / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (int(size), sha256)
