"""Tokens, words and hypotheses: what the search found and when; and the vocabulary, by which tokens are text.

Plain values, shared by the search, the stream and the worker engine. Times inside the recogniser are
counted in feature frames of 10 ms from the first sample of the client's audio, so they are exact and
never shift when silence is cut away; they become seconds only in `Word`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.errors import ModelInvalid
from gigastt.transcript import Options, Word

Features = npt.NDArray[np.float32]  # log-mel [frames, mel=64], 10 ms per frame
EncoderOut = npt.NDArray[np.float32]  # [dim, time], 40 ms per frame

FRAME_SAMPLES = 160  # hop of a feature frame: 10 ms
WINDOW_SAMPLES = 320  # length of a feature frame: frame i covers samples [160 i, 160 i + 320)
SUBSAMPLING = 4  # feature frames per encoder frame: 40 ms
WORD_START = "▁"
BLANK = "<blk>"
_UNKNOWN = "<unk>"
_SPELLED_UNKNOWN = " \u2047 "  # as SentencePiece spells it
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


class Vocabulary:
    """The pieces of text that token ids stand for; the last one is blank. Any thread may read it."""

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


@dataclass(frozen=True, slots=True)
class SearchState:
    """The state of a greedy search: the predictor's state after the last emitted token.

    `dec`, `h` and `c` are float32 and never written to after construction.
    """

    token: int
    dec: npt.NDArray[np.float32]  # predictor output [P]
    h: npt.NDArray[np.float32]  # [P]
    c: npt.NDArray[np.float32]  # [P]


@dataclass(frozen=True, slots=True)
class Token:
    """One emitted token.

    frame: the absolute feature frame (10 ms) at which its encoder frame begins.
    probability: of the token under the joint's softmax, 0 to 1.
    """

    id: int
    piece: str
    frame: int
    probability: float


@dataclass(frozen=True, slots=True)
class Window:
    """The input of one encoder pass.

    first_frame: absolute feature frame of `features[0]`; a multiple of 4, negative in a room before the recording.
    skip: leading encoder frames (40 ms) that give context only and are not searched.
    state: where the search stood before the first searched frame; None at the start of an utterance.
    options: what its client wants of a final; None where this is none.
    """

    features: Features
    first_frame: int
    skip: int = 0
    state: SearchState | None = None
    options: Options | None = None


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """The result of one search: its tokens and, beside each, the search state after it.

    greedy: the tokens of the greedy search, where expected phrases have replaced some of them; else empty.
    alternatives: what may have been said, first this, then the likeliest; empty where that was not asked for.
    """

    tokens: tuple[Token, ...]
    states: tuple[SearchState, ...]
    greedy: tuple[Token, ...] = ()
    alternatives: tuple[Hypothesis, ...] = ()


def join_pieces(pieces: Sequence[str]) -> str:
    """Join vocabulary pieces into text as SentencePiece does.

    `▁` starts a word, `<unk>` is ⁇ between spaces, and `<0xD0>` a byte of UTF-8, or U+FFFD where bytes are none.
    """
    spelled: list[str] = []
    pending = bytearray()
    for piece in pieces:
        if (byte := _BYTE.fullmatch(piece)) is not None:
            pending.append(int(byte[1], 16))
            continue
        spelled += [_decode(pending), _SPELLED_UNKNOWN if piece == _UNKNOWN else piece.replace(WORD_START, " ")]
        pending.clear()
    return "".join([*spelled, _decode(pending)]).strip()


def _decode(pending: bytes | bytearray) -> str:
    """Decode UTF-8; every byte that belongs to no character is one U+FFFD."""
    text, at = "", 0
    while at < len(pending):
        for length in (1, 2, 3, 4):
            try:
                text += pending[at : at + length].decode("utf-8")
            except UnicodeDecodeError:
                continue
            break
        else:
            text, length = f"{text}\ufffd", 1
        at += length
    return text


def begins_word(token: Token, before: Token | None) -> bool:
    """Tell whether a token begins a word: its piece starts with `▁`, or it or the one before it is unknown."""
    unknown = _UNKNOWN in (token.piece, before.piece if before else "")
    return before is None or token.piece.startswith(WORD_START) or unknown


def group_words(tokens: Sequence[Token]) -> tuple[Word, ...]:
    """Group tokens into words.

    A word spans from its first token with text to the end (40 ms) of its last one with a letter or digit: its full stop
    is often emitted only behind the pause. Its confidence is the mean probability of its tokens.
    """
    groups: list[list[Token]] = []
    for token in tokens:
        if begins_word(token, groups[-1][-1] if groups else None):
            groups.append([])
        groups[-1].append(token)
    words = (_word(group) for group in groups)
    return tuple(word for word in words if word.text)


def begin_at(hypothesis: Hypothesis, frame: int) -> Hypothesis:
    """Return a hypothesis with no token before `frame`: before an utterance the recogniser may be shown a room."""
    if not hypothesis.tokens or hypothesis.tokens[0].frame >= frame:
        return hypothesis
    tokens = tuple(replace(token, frame=max(frame, token.frame)) for token in hypothesis.tokens)
    return replace(hypothesis, tokens=tokens)


def words_within(hypothesis: Hypothesis, frame: int, end: float) -> tuple[Word, ...]:
    """Return the words of an utterance that begins at `frame`, none of which ends after `end` (seconds)."""
    words = group_words(begin_at(hypothesis, frame).tokens)
    return tuple(word if word.end <= end else replace(word, start=min(word.start, end), end=end) for word in words)


def _word(tokens: Sequence[Token]) -> Word:
    first = next((token for token in tokens if token.piece != WORD_START), tokens[0])
    last = next((token for token in reversed(tokens) if any(map(str.isalnum, token.piece))), tokens[-1])
    return Word(
        text=join_pieces([t.piece for t in tokens]),
        start=round(first.frame * FRAME_SAMPLES / SAMPLE_RATE, 2),
        end=round((last.frame + SUBSAMPLING) * FRAME_SAMPLES / SAMPLE_RATE, 2),
        confidence=round(sum(t.probability for t in tokens) / len(tokens), 4),
    )
