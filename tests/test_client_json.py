"""JSON of clients: what is none, what would take too long, and halves of characters in it."""

from __future__ import annotations

import json

import pytest

from gigastt.client_json import MOST_VALUES, parse_json


@pytest.mark.parametrize("text", ["", "{", "NaN", '{"a":-Infinity}', "[" * 100_000, '{"a":' * 100_000, "1" * 5_000])
def test_all_that_is_no_json_has_one_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the one error
        parse_json(text)


def test_half_a_character_becomes_the_replacement_character() -> None:
    told = parse_json(r'{"\ud83d":["a\uDE00b\ud83d","\ud83d\ude00\\ud800",1.5,null]}')
    assert told == {"\ufffd": ["a\ufffdb\ufffd", "\U0001f600\\ud800", 1.5, None]}


@pytest.mark.parametrize("text", ['{"type":"configure","hotwords":["а, б"]}', "[]", "1", '"' + "a" * 1_000_000 + '"'])
def test_json_is_read_as_it_is(text: str) -> None:
    assert parse_json(text) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * (MOST_VALUES // 2),
        f"[{'{},' * MOST_VALUES}1]",
        f"[{'1,' * MOST_VALUES}1]",
        f"[{'[],' * MOST_VALUES}1]",
        f'{{{"".join(f"{number}:1," for number in range(MOST_VALUES))}"a":1}}',
    ],
    ids=lambda text: text[:12],
)
def test_json_of_too_many_values_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"too many values|too deep"):
        parse_json(text)


def test_a_list_of_as_many_hotwords_as_there_may_be_is_far_within_the_bound() -> None:
    text = json.dumps({"hotwords": [{"phrase": f"фраза {number}", "weight": 1.5} for number in range(500)]})
    assert len(parse_json(text)["hotwords"]) == 500
    assert sum(map(text.count, ",:[{")) < MOST_VALUES / 4
