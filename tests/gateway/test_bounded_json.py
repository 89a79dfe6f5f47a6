"""JSON of clients: what is parsed, and what would take too long."""

from __future__ import annotations

import json

import pytest

from gigastt.gateway.bounded_json import MOST_VALUES, parse_json


@pytest.mark.parametrize("text", ['{"type":"configure","hotwords":["а, б"]}', "[]", "1", '"' + "a" * 1_000_000 + '"'])
def test_json_is_read_as_it_is(text: str) -> None:
    assert parse_json(text) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"a":NaN}',
        "[Infinity]",
        "[" * (MOST_VALUES // 2),
        f"[{'{},' * MOST_VALUES}1]",
        f"[{'1,' * MOST_VALUES}1]",
        f"[{'[],' * MOST_VALUES}1]",
        f'{{{"".join(f"{number}:1," for number in range(MOST_VALUES))}"a":1}}',
    ],
    ids=lambda text: text[:12],
)
def test_what_is_no_json_or_has_too_many_values_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"Expect|NaN|Infinity"):
        parse_json(text)


def test_a_list_of_as_many_hotwords_as_there_may_be_is_far_within_the_bound() -> None:
    text = json.dumps({"hotwords": [{"phrase": f"фраза {number}", "weight": 1.5} for number in range(500)]})
    assert len(parse_json(text)["hotwords"]) == 500
    assert sum(map(text.count, ",:[{")) < MOST_VALUES / 4
