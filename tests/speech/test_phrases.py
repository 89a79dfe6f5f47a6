"""Phrases: what a hypothesis is credited with while it spells one, when it loses that, and which forms count."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.speech.phrases import MOST_CREDIT, Phrases, alphabet_of
from gigastt.transcript import Hotword

_LETTERS = "абвгдежзийклмнопрстуфхцчшщъыьэюя"
_PIECES = ("<unk>", "▁", ".", "-", *_LETTERS, *(f"▁{letter}" for letter in _LETTERS.upper()), "ов", "<0xD0>", "<blk>")


def _spell(phrases: Phrases, text: str) -> tuple[list[float], float]:
    """Spell a text letter by letter; return the credit behind each token, and what was gained in all."""
    state, credits, gained = Phrases.START, list[float](), 0.0
    for word in text.split():
        for piece in (f"▁{word[0].upper()}", *word[1:]):
            step = phrases.advance(state, _PIECES.index(piece))
            state, gained = step.state, gained + step.gain
            credits.append(step.credit)
    return credits, gained + phrases.finish(state)


def _gain(hotwords: Iterable[str], text: str) -> float:
    return _spell(Phrases([Hotword(phrase) for phrase in hotwords], _PIECES), text)[1]


@pytest.mark.parametrize(
    "text",
    ["кутузов", "видели кутузова", "кутузовым был", "к кутузову-то", "едем в красную пахру", "на красных пахрах"],
)
def test_a_phrase_is_found_in_its_forms(text: str) -> None:
    assert _gain(["Кутузов", "Красная Пахра"], text) > 0


@pytest.mark.parametrize(
    "text",
    ["кутуз", "прокутузов", "кутузовщина", "красная", "пахра", "красная сама пахра", "красной пах", "кот", "котам"],
)
def test_other_words_are_not_it(text: str) -> None:
    assert _gain(["Кутузов", "Красная Пахра", "Кит"], text) == 0


def test_short_words_and_others_alphabets_have_one_form() -> None:
    assert _gain(["кот"], "кот") > 0
    assert _gain(["кот"], "кота") == 0


def test_the_credit_grows_with_each_letter_and_is_lost_at_once() -> None:
    phrases = Phrases([Hotword("Кутузов")], _PIECES)
    credits, gained = _spell(phrases, "кутук")
    assert credits[:4] == sorted(set(credits[:4]))
    assert credits[4] == gained == 0


def test_a_whole_phrase_is_worth_what_it_was_credited_with() -> None:
    credits, gained = _spell(Phrases([Hotword("Кутузов")], _PIECES), "кутузов")
    assert credits[-1] == gained


def test_the_worth_of_a_phrase_has_a_cap_and_follows_its_weight() -> None:
    long = "достопримечательность"
    assert _gain([long], long) == MOST_CREDIT
    assert _gain(["ток"], "ток") < MOST_CREDIT
    assert _spell(Phrases([Hotword(long, 0.5)], _PIECES), long)[1] == MOST_CREDIT / 2


def test_phrases_that_end_together_count_once() -> None:
    assert _gain(["Пахра", "Красная Пахра"], "красная пахра") == _gain(["Красная Пахра"], "красная пахра")


def test_punctuation_and_case_make_no_difference() -> None:
    phrases = Phrases([Hotword("САНКТ-Петербург")], _PIECES)
    state = Phrases.START
    for piece in ("▁С", *"анкт", "-", *"петербург", "."):
        step = phrases.advance(state, _PIECES.index(piece))
        state = step.state
    assert step.gain > 0


def test_pieces_that_spell_nothing_end_words() -> None:
    assert alphabet_of(_PIECES) == "".join(sorted(_LETTERS))


@given(st.lists(st.text(_LETTERS, min_size=1, max_size=9), max_size=12), st.text(_LETTERS + " ", max_size=30))
def test_what_was_credited_is_gained_or_lost(phrases: list[str], text: str) -> None:
    """Whatever is spelled, nothing of a credit stays when no phrase goes on."""
    credits, gained = _spell(Phrases([Hotword(phrase) for phrase in phrases], _PIECES), text)
    assert all(0 <= credit <= MOST_CREDIT for credit in credits)
    assert 0 <= gained <= MOST_CREDIT * len(text.split())


def test_many_phrases_are_ready_at_once() -> None:
    hotwords = [Hotword("".join(_LETTERS[(number * step) % 32] for step in range(1, 40))) for number in range(500)]
    begun = time.process_time()
    _spell(Phrases(hotwords, _PIECES), "кутузов " * 20)
    assert time.process_time() - begun < 2.0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("видели кутузова", {1}),
        ("в красной пахре и красная", {1, 2}),
        ("кутузов кутузовым", {0, 1}),
        ("прокутузов красная", set()),
    ],
)
def test_the_words_of_phrases_are_found(text: str, found: set[int]) -> None:
    phrases = Phrases([Hotword("Кутузов"), Hotword("Красная Пахра")], _PIECES)
    assert phrases.find(text.split()) == found
