"""Tests of the demo model's texts: numerals, templates, prose. They need no torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.demo_model.grammar import SENTENCE, TemplateFiller
from tools.demo_model.numerals import agree, cardinal, ordinal
from tools.demo_model.prose import clean_sentence, debian_prose, split_sentences
from tools.demo_model.templates import TemplateGrammar
from tools.demo_model.words import WORD_LISTS

# Of the first 2,000 sentences, one a line, as they were when the model was trained.
SENTENCES_SHA256 = {
    1: "3c11e83b621f81ca21f82009ee0ce5965768922889f6e5a34e11d8827631f72b",
    7778: "b7c26a24f26ad37d0fdb292c6b6e249fd6c49a2e6f9d35d01c19ef7de0992a66",
}


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "ноль"),
        (11, "одиннадцать"),
        (40, "сорок"),
        (121, "сто двадцать один"),
        (1000, "тысяча"),
        (1234, "тысяча двести тридцать четыре"),
        (2002, "две тысячи два"),
        (1_000_001, "один миллион один"),
    ],
)
def test_cardinals(number: int, words: str) -> None:
    assert cardinal(number) == words


def test_feminine_cardinals() -> None:
    assert cardinal(21, feminine=True) == "двадцать одна"
    assert cardinal(12, feminine=True) == "двенадцать"


@pytest.mark.parametrize(
    ("number", "form"),
    [(1, "час"), (2, "часа"), (5, "часов"), (11, "часов"), (21, "час"), (114, "часов"), (23, "часа")],
)
def test_nouns_agree_with_numbers(number: int, form: str) -> None:
    assert agree(number, "час", "часа", "часов") == form


@pytest.mark.parametrize(
    ("number", "ending", "words"),
    [
        (3, "ый", "третий"),
        (3, "ого", "третьего"),
        (2, "ый", "второй"),
        (40, "ый", "сороковой"),
        (23, "ая", "двадцать третья"),
        (90, "ом", "девяностом"),
    ],
)
def test_ordinals(number: int, ending: str, words: str) -> None:
    assert ordinal(number, ending) == words


@given(st.integers(0, 999_999_999))
def test_cardinals_are_words_with_single_spaces(number: int) -> None:
    words = cardinal(number)
    assert words == " ".join(words.split())
    assert all(word.isalpha() for word in words.split())


@pytest.mark.parametrize("seed", SENTENCES_SHA256)
def test_a_seed_still_draws_the_sentences_of_the_trained_model(seed: int) -> None:
    grammar = TemplateGrammar(seed)
    text = "\n".join(grammar.sentence() for _ in range(2000))
    assert hashlib.sha256(text.encode()).hexdigest() == SENTENCES_SHA256[seed]


@given(st.integers(0, 2**32))
def test_nothing_unspoken_is_written(seed: int) -> None:
    grammar = TemplateGrammar(seed)
    for _ in range(20):
        assert SENTENCE.match(grammar.sentence())


def test_slots_are_filled_inside_out() -> None:
    filler = TemplateFiller(0)
    assert filler.fill("{раз}, {{два}|{два}} и <last>", last="три") == "раз, два и три"
    assert filler.fill("{ROOMS}") in WORD_LISTS["ROOMS"]
    assert filler.fill("{GOODS+FOOD}") in WORD_LISTS["GOODS"] + WORD_LISTS["FOOD"]
    assert filler.fill("{#cardinal 7 8}") == "семь"
    with pytest.raises(ValueError, match="#cardinal"):
        filler.fill("{#cardinal}")


@pytest.mark.parametrize(
    ("sentence", "cleaned"),
    [
        ("«Это — кошка», сказал он.", "Это, кошка, сказал он."),
        ("Он пришёл... домой вечером!!!", None),
        ("Она была дома, а он ушёл!!", "Она была дома, а он ушёл!"),
        ("Нажмите кнопку OK.", None),
        ("В СССР было много заводов.", None),
        ("Два слова.", None),
        ("Смотри на стр.", None),
    ],
)
def test_prose_is_cleaned_or_left_out(sentence: str, cleaned: str | None) -> None:
    assert clean_sentence(sentence) == cleaned


def test_hyphenation_at_line_ends_is_undone() -> None:
    assert split_sentences("Сегодня очень хоро-\n  шая погода. Да.") == ["Сегодня очень хорошая погода."]


def test_without_documents_there_is_no_prose(tmp_path: Path) -> None:
    assert all(not sentences for sentences in debian_prose(tmp_path).values())
