"""Long answers: made in pieces, and the same as in one."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gigastt.gateway.responses import LongJSONResponse, json_text

LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3)
JSON = st.recursive(LEAVES, lambda inside: st.lists(inside, max_size=80) | st.dictionaries(st.text(max_size=2), inside))


@given(st.dictionaries(st.text(max_size=2), JSON))
def test_a_long_answer_is_the_same_in_pieces(content: dict[str, Any]) -> None:
    assert bytes(LongJSONResponse(content).body).decode() == json_text(content)
