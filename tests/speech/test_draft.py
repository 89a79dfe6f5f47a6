"""The draft: which words become stable, and that they stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.speech.draft import Draft, judge
from gigastt.speech.tokens import Hypothesis, SearchState, Token
from gigastt.transcript import Partial, Word


def state(number: int) -> SearchState:
    row = np.full(2, number, np.float32)
    return SearchState(number, row, row, row)


def heard(*words: tuple[str, int], probability: float = 0.9) -> Hypothesis:
    """One token for each word, at the given frame; its state carries the frame."""
    tokens = tuple(Token(sum(map(ord, text)), f"▁{text}", frame, probability) for text, frame in words)
    return Hypothesis(tokens, tuple(state(token.frame) for token in tokens))


def texts(result: Partial | None) -> list[str]:
    assert result is not None
    return [word.text for word in result.words]


def test_the_first_pass_makes_nothing_stable() -> None:
    result = Draft(0).update(heard(("раз", 20), ("два", 60)), end=300)
    assert result is not None
    assert (result.text, result.stable) == ("раз два", 0)


def test_words_agreed_on_for_long_enough_become_stable() -> None:
    draft = Draft(0)
    draft.update(heard(("раз", 20), ("два", 60)), end=100)
    assert draft.update(heard(("раз", 20), ("два", 60)), end=140) is None
    result = draft.update(heard(("раз", 20), ("два", 60), ("три", 150)), end=180)
    assert result is not None
    assert result.stable == 2
    assert draft.searched_to == 64
    assert draft.state is not None
    assert draft.state.token == 60


def test_a_word_near_the_end_of_the_audio_stays_open() -> None:
    draft = Draft(0)
    for end in (100, 180):
        result = draft.update(heard(("раз", 20), ("два", 100), ("три", 104)), end=end)
    assert result is not None
    assert result.stable == 1


def test_a_changed_word_begins_its_agreement_anew() -> None:
    draft = Draft(0)
    draft.update(heard(("раз", 20), ("два", 40), ("три", 60)), end=100)
    draft.update(heard(("раз", 20), ("двор", 40), ("три", 60)), end=180)
    assert draft.searched_to == 24
    draft.update(heard(("двор", 40), ("три", 60), ("пять", 200)), end=260)
    assert draft.searched_to == 64


def test_a_doubtful_word_needs_longer_agreement() -> None:
    draft = Draft(0)
    words = [("раз", 20), ("два", 60)]
    for end, stable in ((100, 0), (180, 0), (240, 0), (280, 2)):
        draft.update(heard(*words, probability=0.8), end=end)
        result = draft.update(heard(*words, ("три", 70 + end // 10), probability=0.8), end=end)
        assert result is not None
        assert result.stable == stable


def test_the_silent_tail_makes_every_word_stable() -> None:
    draft = Draft(0)
    draft.update(heard(("раз", 20)), end=100)
    result = draft.update(heard(("раз", 20), ("два", 60)), end=108, silent=True)
    assert result is not None
    assert result.stable == 2


def test_what_would_lengthen_a_stable_word_is_dropped() -> None:
    draft = Draft(0)
    draft.update(heard(("раз", 20)), end=50)
    draft.update(heard(("раз", 20)), end=58, silent=True)
    more = Token(7, "ом", 28, 0.9)
    draft.update(Hypothesis((more,), (state(28),)), end=200)
    result = draft.update(heard(("два", 250)), end=300)
    assert texts(result) == ["раз", "два"]


def test_unsure_words_are_not_shown() -> None:
    draft = Draft(0)
    assert draft.update(heard(("ту", 20), probability=0.4), end=200) is None
    assert draft.is_wordless
    assert texts(draft.update(heard(("ту", 20), ("да", 60)), end=300)) == ["ту", "да"]


def test_the_search_is_taken_forward_over_what_is_long_past() -> None:
    draft = Draft(0)
    draft.update(heard(("раз", 20), ("два", 300)), end=320)
    draft.settle_before(100)
    assert draft.searched_to == 100
    draft.settle_before(302)
    assert draft.searched_to == 300


def test_words_near_the_end_of_a_pass_are_not_known_to_be_whole() -> None:
    draft = Draft(0)
    draft.update(heard(("раз", 20), ("гра", 300)), end=320)
    assert 30 < draft.complete_to < 300


SURE, UNSURE = Word("да", 0, 1, 0.95), Word("ту", 0, 1, 0.4)


@pytest.mark.parametrize("words", [(UNSURE,), (UNSURE, UNSURE, UNSURE), (SURE, UNSURE)])
def test_words_of_an_utterance_that_the_detector_is_sure_of_are_never_dropped(words: tuple[Word, ...]) -> None:
    assert judge(words, is_clear=True, min_confidence=0.0) == ""


def test_one_sure_word_is_enough_where_the_detector_doubts() -> None:
    assert judge((UNSURE, SURE), is_clear=False, min_confidence=0.0) == ""
    assert judge((UNSURE, UNSURE), is_clear=False, min_confidence=0.0) == "doubtful"


def test_a_least_confidence_holds_for_every_utterance() -> None:
    assert judge((UNSURE,), is_clear=True, min_confidence=0.5) == "min_confidence"
    assert judge((UNSURE, SURE), is_clear=True, min_confidence=0.5) == ""
    assert judge((), is_clear=True, min_confidence=0.5) == ""


spoken = st.lists(st.tuples(st.sampled_from(["раз", "два", "три"]), st.integers(1, 400)), max_size=8)


@given(st.lists(st.tuples(spoken, st.integers(4, 120), st.booleans()), max_size=30))
def test_stable_words_never_change(passes: list[tuple[list[tuple[str, int]], int, bool]]) -> None:
    draft = Draft(0)
    stable: list[str] = []
    end = 0
    for words, step, silent in passes:
        end += step
        timed = sorted({frame * 4 % max(4, end): text for text, frame in words}.items())
        result = draft.update(heard(*((text, frame) for frame, text in timed)), end, silent=silent)
        if result is not None:
            assert texts(result)[: len(stable)] == stable
            stable = texts(result)[: result.stable]
