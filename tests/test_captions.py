"""Tests of captions: what one cue holds, and the two forms."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gigastt.rendering import CUE_LINES, LINE_CHARACTERS, Cue, format_cue, make_cues
from gigastt.transcript import Word


def words(*texts: str, start: float = 0.0, seconds: float = 0.4) -> list[Word]:
    return [
        Word(text, round(start + i * seconds, 2), round(start + (i + 1) * seconds, 2), 0.9)
        for i, text in enumerate(texts)
    ]


def test_a_short_segment_is_one_cue() -> None:
    assert make_cues(words("Привет,", "как", "дела?")) == [Cue(0.0, 1.2, "Привет, как дела?")]


def test_no_words_make_no_cue() -> None:
    assert make_cues([]) == []


def test_a_pause_begins_a_new_cue() -> None:
    spoken = words("Раз.") + words("Два.", start=2.0)
    assert [cue.text for cue in make_cues(spoken)] == ["Раз.", "Два."]


def test_a_long_sentence_end_begins_a_new_cue() -> None:
    spoken = words("Выключи", "свет", "в", "детской", "и", "закрой", "окно", "на", "кухне.", "Спасибо.", seconds=0.2)
    assert [cue.text for cue in make_cues(spoken)] == [
        "Выключи свет в детской и закрой окно на кухне.",
        "Спасибо.",
    ]


def test_srt_cue_has_number_comma_and_blank_line() -> None:
    text = format_cue(Cue(3661.5, 3662.25, "Да."), 7, "srt")
    assert text == "7\n01:01:01,500 --> 01:01:02,250\nДа.\n\n"


def test_vtt_cue_has_dots_and_escapes_markup() -> None:
    text = format_cue(Cue(0.0, 1.0, "<i> & -->"), 1, "vtt")
    assert text == "1\n00:00:00.000 --> 00:00:01.000\n&lt;i&gt; &amp; --&gt;\n\n"


def test_rounding_never_writes_sixty_seconds() -> None:
    assert "00:01:00,000" in format_cue(Cue(59.9996, 61.0, "Да."), 1, "srt")


@given(st.lists(st.text(alphabet="абвг.,", min_size=1, max_size=30), max_size=80), st.floats(0.05, 2.0))
def test_cues_hold_every_word_in_order_and_stay_readable(texts: list[str], seconds: float) -> None:
    cues = make_cues(words(*texts, seconds=seconds))
    assert " ".join(cue.text for cue in cues) == " ".join(texts)
    assert all(cue.start <= cue.end for cue in cues)
    assert all(a.end <= b.start + 0.01 for a, b in pairwise(cues))
    for cue in cues:
        lines = format_cue(cue, 1, "srt").splitlines()[2:-1]
        assert len(lines) <= CUE_LINES
        assert all(len(line) <= LINE_CHARACTERS for line in lines)
