"""JSON of clients: what is none, and halves of characters in it."""

from __future__ import annotations

import pytest

from gigastt.client_json import parse_json


@pytest.mark.parametrize("text", ["", "{", "NaN", '{"a":-Infinity}', "[" * 100_000, '{"a":' * 100_000, "1" * 5_000])
def test_all_that_is_no_json_has_one_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the one error
        parse_json(text)


def test_half_a_character_becomes_the_replacement_character() -> None:
    told = parse_json(r'{"\ud83d":["a\uDE00b\ud83d","\ud83d\ude00\\ud800",1.5,null]}')
    assert told == {"\ufffd": ["a\ufffdb\ufffd", "\U0001f600\\ud800", 1.5, None]}
