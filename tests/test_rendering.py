"""Transcripts as text, JSON, captions and Markdown."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gigastt.rendering import Renderer, TranscriptForm, render_transcript
from gigastt.transcript import Final, Transcript, Word

HELLO = Final(
    "Привет, мир.", (Word("Привет,", 0.32, 0.71, 0.97), Word("мир.", 0.8, 1.1, 0.5)), 0.32, 1.1, 0.735, "silence"
)
BYE = Final("Пока.", (Word("Пока.", 2.0, 2.4, 0.9),), 2.0, 2.4, 0.9, "stop")


def render(form: TranscriptForm, file: str | None = None) -> str:
    renderer = Renderer(form, file)
    segments = [renderer.segment(segment) for segment in (HELLO, BYE)]
    return "".join([renderer.begin(), *segments, renderer.end(Transcript([HELLO, BYE], 3.0))])


def test_text_is_a_line_a_segment() -> None:
    assert render("text") == "Привет, мир.\nПока.\n"


@pytest.mark.parametrize("form", ["text", "srt", "vtt", "md"])
def test_all_but_json_write_a_segment_when_it_comes(form: TranscriptForm) -> None:
    assert "Привет, мир.\n" in Renderer(form).segment(HELLO)


@pytest.mark.parametrize("form", ["text", "srt", "vtt", "md"])
def test_channels_that_are_told_apart_stand_before_their_segments(form: TranscriptForm) -> None:
    heard = Transcript([HELLO, replace(BYE, channel=1)], 3.0, copies=(None, None))
    written = render_transcript(form, heard)
    assert "[0] Привет, мир.\n" in written
    assert "[1] Пока.\n" in written


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
    assert render_transcript("text", Transcript([], 5.0)) == ""
    assert json.loads(render_transcript("json", Transcript([], 5.0))) == {
        "text": "",
        "words": [],
        "duration": 5.0,
        "segments": [],
    }
