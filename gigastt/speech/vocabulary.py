"""The vocabulary: which piece of text a token id stands for.

Read once at load and never changed; any thread may read it.
"""

from __future__ import annotations

from pathlib import Path

from gigastt.errors import ModelInvalid

BLANK = "<blk>"


class Vocabulary:
    """Pieces by token id; the last one is blank."""

    def __init__(self, pieces: tuple[str, ...]) -> None:
        """Take the pieces in the order of their ids.

        Raises:
            ModelInvalid: there are none, or the last one is not blank, or blank is there twice.
        """
        if not pieces or pieces[-1] != BLANK or pieces.count(BLANK) != 1:
            raise ModelInvalid(f"Expected a vocabulary whose last piece, and only that, is {BLANK}.")
        self.pieces = pieces
        self.blank_id = len(pieces) - 1

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Read a file of lines `piece id`, in any order, ids from 0 without a gap.

        Raises:
            ModelInvalid: the file cannot be read or breaks that form.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise ModelInvalid(f"Cannot read the vocabulary {path.name}: {exc}") from exc
        by_id: dict[int, str] = {}
        for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
            piece, _, token_id = line.removesuffix("\r").rpartition(" ")
            if not piece or not token_id.isascii() or not token_id.isdigit():
                raise ModelInvalid(f"Expected 'piece id' in line {number} of {path.name}, but got {line!r}.")
            if int(token_id) in by_id:
                raise ModelInvalid(f"Expected every id once in {path.name}, but line {number} repeats {token_id}.")
            by_id[int(token_id)] = piece
        if sorted(by_id) != list(range(len(by_id))):
            raise ModelInvalid(f"Expected ids from 0 to {len(by_id) - 1} without a gap in {path.name}.")
        return cls(tuple(by_id[token_id] for token_id in range(len(by_id))))

    def __len__(self) -> int:
        return len(self.pieces)
