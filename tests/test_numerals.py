"""Numerals: what becomes figures, what stays a word, and that nothing told is taken back."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.numerals import closed_words, write_figures
from gigastt.transcript import Word

SPOKEN = re.findall(
    r"\S+",
    "двадцать двадцати пять пяти один одна ноль сто двести тысяча тысяч миллиона первый первого десятых двадцать, "
    "пять. целых целая мая года рублей номер и раз сорока тысячных 2 —",
)


def words_of(text: str) -> list[Word]:
    """The words of a text, one a second."""
    return [Word(word, at, at + 0.5, 0.9) for at, word in enumerate(text.split())]


def figures_of(text: str) -> str:
    return " ".join(word.text for word in write_figures(words_of(text)))


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("двадцать пять", "25"),
        ("Сто двадцать один, и девятьсот девяносто девять!", "121, и 999!"),
        ("ста пятидесяти двух километров", "152 километров"),
        ("пятьюстами рублями от восьмисот и до сорока пяти", "500 рублями от 800 и до 45"),
        ("тысяча двести, одна тысяча пятьсот", "1200, 1500"),
        ("две тысячи двадцать шестого года", "2026 года"),
        ("в тысяча девятьсот восемьдесят четвёртом году", "в 1984 году"),
        ("сто двадцать пять тысяч триста один", "125301"),
        ("миллион двести тысяч", "1200000"),
        ("два миллиона рублей и сто двадцать миллиардов", "2 миллиона рублей и 120 миллиардов"),
    ],
)
def test_cardinals_in_any_case(spoken: str, written: str) -> None:
    assert figures_of(spoken) == written


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("сто двадцать первый", "121-й"),
        ("сто двадцать первого сто двадцать первому тридцать первая", "121-го 121-му 31-я"),
        ("двадцать третья, двадцать третьего, двадцать третьими", "23-я, 23-го, 23-ми"),
        ("двадцать восьмой, сороковое, в девяностых", "28-й, 40-е, в 90-х"),
        ("первое мая две тысячи двадцать шестого", "1 мая 2026-го"),
        ("с двадцать пятого по тридцатое апреля", "с 25-го по 30 апреля"),
        ("девяностые годы, в двухтысячном году", "90-е годы, в 2000 году"),
        ("в семь первого мая", "в семь 1 мая"),
        ("из двадцати первых", "из 20 первых"),
    ],
)
def test_ordinals_have_their_ending_but_in_dates(spoken: str, written: str) -> None:
    assert figures_of(spoken) == written


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("ноль целых пять десятых", "0,5"),
        ("ноль целых одна десятая процента", "0,1 процента"),
        ("двадцать одна целая семьдесят пять тысячных.", "21,075."),
        ("две целых, двадцать пять сотых", "2,25"),
        ("пять целых и три", "пять целых и три"),
        ("две третьих, пять десятых классов", "две третьих, пять десятых классов"),
    ],
)
def test_fractions(spoken: str, written: str) -> None:
    assert figures_of(spoken) == written


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("плюс семь девятьсот двенадцать триста сорок пять шестьдесят семь ноль девять", "плюс 7 912 345 67 0 9"),
        ("код один два три четыре", "код 1 2 3 4"),
        ("в девять тридцать", "в 9 30"),
        ("двадцать, пять", "20, 5"),
        ("«двадцать» пять", "«20» 5"),
        ("номер семь, пять рублей, два часа, ноль градусов", "номер 7, 5 рублей, 2 часа, 0 градусов"),
    ],
)
def test_numbers_that_do_not_fit_together_stand_side_by_side(spoken: str, written: str) -> None:
    assert figures_of(spoken) == written


@pytest.mark.parametrize(
    "spoken",
    [
        "один раз",
        "одну минуту",
        "раз два три",
        "два вопроса и три ответа",
        "во-первых, второй раз",
        "это первый год",
        "тысячи людей и миллион причин",
        "тысячная доля и сотый километр",
        "люблю семью",
        "прилетела сорока",
        "пять-шесть, полтора, оба, пятеро",
        "5 миллионов, 2 рубля, 14:30",
        "…",
        "",
    ],
)
def test_all_else_stays_as_it_is(spoken: str) -> None:
    assert figures_of(spoken) == spoken


def test_a_figure_spans_its_words() -> None:
    words = [
        Word("«Двадцать", 1.0, 1.4, 0.9, speaker=0, speaker_confidence=0.8),
        Word("пять", 1.5, 1.7, 0.5, speaker=1, speaker_confidence=0.7),
        Word("тысяч»,", 1.8, 2.2, 0.7, speaker=1, speaker_confidence=0.6),
        Word("да", 2.3, 2.5, 0.9, speaker=0),
    ]

    figures = write_figures(words)

    assert figures == [Word("«25000»,", 1.0, 2.2, 0.7, speaker=1, speaker_confidence=0.7), words[3]]


@given(st.lists(st.sampled_from(SPOKEN), max_size=12), st.integers(0, 12))
def test_closed_words_are_written_the_same_way_whatever_follows(texts: Sequence[str], count: int) -> None:
    words = words_of(" ".join(texts))
    known = words[:count]

    closed = write_figures(known[: closed_words(known)])

    assert write_figures(words)[: len(closed)] == closed
    assert write_figures(write_figures(words)) == write_figures(words)


@pytest.mark.parametrize(
    ("spoken", "closed"),
    [("это двадцать пять", 1), ("это двадцать пять рублей", 4), ("ноль целых", 0), ("сто целых пять и", 4), ("", 0)],
)
def test_a_number_is_open_until_another_word_follows(spoken: str, closed: int) -> None:
    assert closed_words(words_of(spoken)) == closed
