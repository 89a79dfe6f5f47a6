"""Spelling: bare words have their times still, and text, words and counts agree."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gigastt.spelling import AS_RECOGNISED, PLAIN, Spelling
from gigastt.transcript import Alternative, Final, Gap, HeardSpeakers, Partial, Transcript, Word, text_of

WORDS = tuple(
    Word(text, number / 2, number / 2 + 0.4, 0.9, number % 2)
    for number, text in enumerate(["«Привет,", "—", "Мир!", "Кто-нибудь…"])
)
TEXT = " ".join(word.text for word in WORDS)
FINAL = Final(TEXT, WORDS, 0.0, 2.0, 0.9, "silence")
FIGURES = Spelling(numbers="digits")
SPOKEN = "Их двадцать пять, а нас сто два."
COUNTED = replace(
    FINAL, text=SPOKEN, words=tuple(Word(text, at, at + 0.5, 0.9) for at, text in enumerate(SPOKEN.split()))
)
SILENT = replace(FINAL, text="…", words=(Word("…", 0.0, 0.4, 0.9),))


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("Привет, мир! — Кто-нибудь… «Ёлка» 5 %", "привет мир кто-нибудь ёлка 5"),
        ("В 10:30, по 3,5 км - и 24/7.", "в 10:30 по 3,5 км и 24/7"),
        ("О'Генри -да- ’", "о'генри да"),
        ("…", ""),
        ("", ""),
    ],
)
def test_plain_words_have_no_capitals_and_no_punctuation(text: str, bare: str) -> None:
    assert PLAIN.spell(text) == PLAIN.spell(bare) == bare


def test_each_of_the_two_goes_alone() -> None:
    assert Spelling(punctuation=False).of(FINAL).text == "Привет Мир Кто-нибудь"
    assert Spelling(casing="lower").of(FINAL).text == "«привет, — мир! кто-нибудь…"


def test_numbers_go_with_the_two() -> None:
    assert FIGURES.of(COUNTED).text == "Их 25, а нас 102."
    final = replace(PLAIN, numbers="digits").of(COUNTED)
    assert final.text == " ".join(word.text for word in final.words) == "их 25 а нас 102"
    assert [(word.start, word.end) for word in final.words] == [(0, 0.5), (1, 2.5), (3, 3.5), (4, 4.5), (5, 6.5)]


def test_alternatives_that_are_the_same_in_figures_are_told_once() -> None:
    others = [tuple(replace(word, text=text) for word, text in zip(WORDS, spoken.split(), strict=False))
              for spoken in ("двадцать пять", "двадцати пяти", "двадцать шесть")]  # fmt: skip
    alternatives = tuple(Alternative(" ".join(word.text for word in words), words, 0.9) for words in others)
    told = FIGURES.of(replace(FINAL, text="двадцать пять", words=others[0], alternatives=alternatives))
    assert [one.text for one in told.alternatives] == ["25", "26"]
    assert told.alternatives[0].words == told.words


def test_a_number_is_stable_when_it_cannot_grow() -> None:
    stable: tuple[Word, ...] = ()
    counts = []
    for length in range(len(COUNTED.words) + 1):
        words = COUNTED.words[:length]
        partial = FIGURES.of(Partial(" ".join(word.text for word in words), words, length))
        assert partial.words[: len(stable)] == stable
        assert partial.text == " ".join(word.text for word in partial.words)
        stable = partial.words[: partial.stable]
        counts.append(partial.stable)
    assert counts == [0, 1, 1, 1, 3, 4, 4, 4]
    assert FIGURES.of(COUNTED).words[:4] == stable


def test_words_keep_all_but_their_text() -> None:
    final = PLAIN.of(replace(FINAL, dropped=WORDS))
    assert final.text == " ".join(word.text for word in final.words) == "привет мир кто-нибудь"
    assert final.dropped == final.words
    kept = (WORDS[0], WORDS[2], WORDS[3])
    assert [replace(word, text="") for word in final.words] == [replace(word, text="") for word in kept]


def test_stable_words_stay_stable() -> None:
    """Each longer partial begins with the stable words of the one before."""
    stable: tuple[Word, ...] = ()
    for length in range(len(WORDS) + 1):
        words = WORDS[:length]
        partial = PLAIN.of(Partial(" ".join(word.text for word in words), words, max(0, length - 1)))
        assert partial.words[: len(stable)] == stable
        assert partial.text == " ".join(word.text for word in partial.words)
        stable = partial.words[: partial.stable]
    assert [word.text for word in stable] == ["привет", "мир"]


def test_speakers_of_a_session_are_those_of_the_words_that_are_told() -> None:
    for spelling, final in ((PLAIN, FINAL), (FIGURES, COUNTED)):
        speakers = spelling.of(HeardSpeakers((), (final.words, final.words)))
        assert speakers.finals == (spelling.of(final).words,) * 2


def test_a_transcript_agrees_with_itself() -> None:
    heard = Transcript([FINAL, SILENT], 2.0, dropped=[replace(FINAL, text="", words=(), dropped=WORDS)])
    plain = PLAIN.of(heard)
    assert text_of(plain.finals) == "привет мир кто-нибудь"
    assert plain.finals == [PLAIN.of(FINAL)]
    assert [word.text for word in plain.dropped[0].dropped] == ["привет", "мир", "кто-нибудь"]
    assert PLAIN.of(plain) == plain


def test_nothing_else_is_touched() -> None:
    gap = Gap("inference_error", 0.0, 1.0)
    assert PLAIN.of(gap) is gap
    assert AS_RECOGNISED.of(FINAL) is FINAL
