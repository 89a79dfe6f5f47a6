"""The vocabulary file: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gigastt.errors import ModelInvalid
from gigastt.speech.tokens import Vocabulary
from tests.recordings import DEMO_MODEL


def _load(tmp_path: Path, content: str) -> Vocabulary:
    path = tmp_path / "vocab.txt"
    path.write_text(content, encoding="utf-8")
    return Vocabulary.load(path)


def test_pieces_are_in_the_order_of_their_ids(tmp_path: Path) -> None:
    vocabulary = _load(tmp_path, "▁да 1\n<unk> 0\n<blk> 2\n")
    assert vocabulary.pieces == ("<unk>", "▁да", "<blk>")
    assert vocabulary.blank_id == 2
    assert len(vocabulary) == 3


def test_line_ends_of_windows_and_a_missing_last_one_are_read(tmp_path: Path) -> None:
    assert _load(tmp_path, "<unk> 0\r\n<blk> 1").pieces == ("<unk>", "<blk>")


def test_demo_vocabulary_is_read() -> None:
    vocabulary = Vocabulary.load(DEMO_MODEL / "v3_e2e_rnnt_vocab.txt")
    assert len(vocabulary) == 193
    assert vocabulary.pieces[0] == "<unk>"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "Expected 'piece id' in line 1"),
        ("да\n", "Expected 'piece id' in line 1"),
        ("<unk> 0\nда один\n", "Expected 'piece id' in line 2"),
        ("<unk> 0\nда ²\n", "Expected 'piece id' in line 2"),
        ("<unk> 0\nда 0\n<blk> 1\n", "line 2 repeats 0"),
        ("<unk> 0\n<blk> 2\n", "without a gap"),
        ("<blk> 0\nда 1\n", "last piece"),
        ("<blk> 0\n<blk> 1\n", "last piece"),
        ("<unk> 0\nда 1\n", "last piece"),
    ],
)
def test_a_broken_vocabulary_is_refused_with_a_reason(tmp_path: Path, content: str, sentence: str) -> None:
    with pytest.raises(ModelInvalid, match=sentence):
        _load(tmp_path, content)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match=r"Cannot read the vocabulary vocab\.txt"):
        Vocabulary.load(tmp_path / "vocab.txt")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelInvalid, match=r"Cannot read the vocabulary vocab\.txt"):
        Vocabulary.load(tmp_path / "vocab.txt")
