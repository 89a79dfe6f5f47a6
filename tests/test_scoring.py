"""Error rates: the fewest errors, in words and in characters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gigastt.optimize.words import edit_distance
from gigastt.scoring import Pair, Score, align, normalise, score

words = st.lists(st.sampled_from("абв"), max_size=8)


@given(wanted=words, heard=words)
def test_an_alignment_keeps_both_texts_and_has_the_fewest_errors(wanted: list[str], heard: list[str]) -> None:
    pairs = align(wanted, heard)
    assert [pair.wanted for pair in pairs if pair.wanted is not None] == wanted
    assert [pair.heard for pair in pairs if pair.heard is not None] == heard
    assert score(wanted, heard) == Score(edit_distance(wanted, heard), len(wanted))


def test_a_substitution_is_a_pair() -> None:
    assert align(["включи", "свет"], ["включи", "совет"])[1] == Pair("свет", "совет")


def test_case_punctuation_and_yo_are_left_out() -> None:
    assert normalise("Ещё, «чай»!") == "еще чай"


def test_nothing_wanted_has_no_rate() -> None:
    assert score([], ["шум"]).rate is None
