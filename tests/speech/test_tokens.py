"""Tokens to words: where they begin and end, and what they are called."""

from __future__ import annotations

import pytest

from gigastt.speech.tokens import Token, group_words, join_pieces
from gigastt.transcript import Word


def _tokens(*pieces: tuple[str, int, float]) -> list[Token]:
    return [Token(number, piece, frame, probability) for number, (piece, frame, probability) in enumerate(pieces)]


def test_a_word_begins_at_a_piece_that_starts_one() -> None:
    words = group_words(_tokens(("▁При", 100, 0.9), ("вет", 112, 0.7), ("▁мир", 140, 1.0)))
    assert words == (Word("Привет", 1.0, 1.16, 0.8), Word("мир", 1.4, 1.44, 1.0))


def test_a_full_stop_behind_the_pause_does_not_stretch_its_word() -> None:
    (word,) = group_words(_tokens(("▁Да", 100, 0.9), (".", 300, 0.5)))
    assert word == Word("Да.", 1.0, 1.04, 0.7)


def test_punctuation_alone_has_the_time_of_its_token() -> None:
    (word,) = group_words(_tokens(("▁—", 100, 0.5)))
    assert word == Word("—", 1.0, 1.04, 0.5)


def test_a_first_piece_that_starts_no_word_still_makes_one() -> None:
    assert [word.text for word in group_words(_tokens(("вет", 0, 1.0), ("▁мир", 8, 1.0)))] == ["вет", "мир"]


def test_a_bare_word_start_joins_the_next_piece_that_starts_none() -> None:
    assert [word.text for word in group_words(_tokens(("▁", 0, 1.0), ("в", 4, 1.0), ("▁", 8, 1.0)))] == ["в"]


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ((), ""),
        (("▁При", "вет", ",", "▁мир", "."), "Привет, мир."),
        (("▁",), ""),
        (("▁При", "<unk>", "вет"), "При ⁇ вет"),
        (("▁а", "<0xD0>", "<0xB1>", "в"), "абв"),
        (("<0xD0>", "▁а", "<0xB1>", "<0xE2>", "<0x82>"), "\ufffd а\ufffd\ufffd\ufffd"),
    ],
)
def test_pieces_are_joined_to_text(pieces: tuple[str, ...], text: str) -> None:
    assert join_pieces(pieces) == text


def test_what_is_unknown_is_a_word_of_its_own() -> None:
    words = group_words(_tokens(("▁При", 0, 1.0), ("<unk>", 8, 0.4), ("вет", 12, 1.0)))
    assert [word.text for word in words] == ["При", "⁇", "вет"]
