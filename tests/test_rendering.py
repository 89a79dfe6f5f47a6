"""Transcripts as text, JSON, captions and Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from gigastt.rendering import TranscriptForm, render_transcript
from gigastt.transcript import Final, Word

HELLO = Final(
    "Привет, мир.", (Word("Привет,", 0.32, 0.71, 0.97), Word("мир.", 0.8, 1.1, 0.5)), 0.32, 1.1, 0.735, "silence"
)
BYE = Final("Пока.", (Word("Пока.", 2.0, 2.4, 0.9),), 2.0, 2.4, 0.9, "stop")


def render(form: TranscriptForm, file: str | None = None) -> str:
    return "".join(render_transcript(form, [HELLO, BYE], lambda: 3.0, file))


def test_text_is_a_line_a_segment() -> None:
    assert render("text") == "Привет, мир.\nПока.\n"


@pytest.mark.parametrize("form", ["text", "srt", "vtt", "md"])
def test_a_segment_is_written_before_the_next_one_comes(form: TranscriptForm) -> None:
    written: list[str] = []

    def segments() -> Iterator[Final]:
        yield HELLO
        assert "Привет, мир.\n" in "".join(written)
        yield BYE

    for piece in render_transcript(form, segments(), lambda: 3.0):
        written.append(piece)


def test_markdown_is_a_paragraph_a_segment_with_its_time() -> None:
    assert render("md") == "**[00:00:00]** Привет, мир.\n\n**[00:00:02]** Пока.\n\n"


def test_json_has_text_words_duration_and_segments() -> None:
    answer = json.loads(render("json"))
    assert answer["text"] == "Привет, мир. Пока."
    assert answer["duration"] == 3.0
    assert answer["words"][0] == {"word": "Привет,", "start": 0.32, "end": 0.71, "confidence": 0.97}
    assert [segment["text"] for segment in answer["segments"]] == ["Привет, мир.", "Пока."]


def test_json_names_the_file_only_when_asked() -> None:
    assert "file" not in json.loads(render("json"))
    assert json.loads(render("json", "a.wav"))["file"] == "a.wav"


def test_captions_are_numbered_through_the_file() -> None:
    srt = render("srt")
    assert srt.startswith("1\n00:00:00,320 --> 00:00:01,100\nПривет, мир.\n\n")
    assert "2\n00:00:02,000 --> 00:00:02,400\nПока.\n\n" in srt


def test_vtt_has_its_header() -> None:
    assert render("vtt").startswith("WEBVTT\n\n1\n00:00:00.320 --> ")


def test_a_silent_file_gives_empty_text_and_an_empty_object() -> None:
    assert list(render_transcript("text", [], lambda: 5.0)) == []
    [line] = render_transcript("json", [], lambda: 5.0)
    assert json.loads(line) == {"text": "", "words": [], "duration": 5.0, "segments": []}
