"""Captions: words become cues short enough to read, in SubRip or WebVTT.

Pure functions over one segment at a time, so that a long file's captions are written while it is being
transcribed. The limits are those of broadcasters' guides: two lines of 42 characters, about seven seconds.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gigastt.transcript import Word

CaptionForm: TypeAlias = Literal["srt", "vtt"]

LINE_CHARACTERS = 42
CUE_LINES = 2
CUE_SECONDS = 7.0
PAUSE_SECONDS = 1.0
VTT_HEADER = "WEBVTT\n\n"
_SENTENCE_ENDS = (".", "?", "!", "…")


@dataclass(frozen=True, slots=True)
class Cue:
    """One caption; times in seconds from the first sample of the file."""

    start: float
    end: float
    text: str


def make_cues(words: Sequence[Word]) -> list[Cue]:
    """Group a segment's words into cues: a new one after a sentence of a line's length, a pause, or when full."""
    groups: list[list[Word]] = []
    for word in words:
        if not groups or _is_full(groups[-1], word):
            groups.append([])
        groups[-1].append(word)
    return [Cue(group[0].start, max(group[-1].end, group[0].start), _text(group)) for group in groups]


def format_cue(cue: Cue, number: int, form: CaptionForm, who: str = "") -> str:
    """Write one cue with the blank line after it; `number` counts from 1, `who` says it."""
    text = "\n".join(_wrap(f"{who}: {cue.text}" if who and form == "srt" else cue.text))
    if form == "vtt":
        text = html.escape(text, quote=False)
        text = f"<v {html.escape(who)}>{text}" if who else text
    separator = "." if form == "vtt" else ","
    return f"{number}\n{_clock(cue.start, separator)} --> {_clock(cue.end, separator)}\n{text}\n\n"


def _is_full(group: Sequence[Word], word: Word) -> bool:
    text = _text(group)
    return (
        len(_wrap(f"{text} {word.text}")) > CUE_LINES
        or word.end - group[0].start > CUE_SECONDS
        or word.start - group[-1].end > PAUSE_SECONDS
        or (text.endswith(_SENTENCE_ENDS) and len(text) >= LINE_CHARACTERS)
    )


def _text(group: Sequence[Word]) -> str:
    return " ".join(word.text for word in group)


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, LINE_CHARACTERS, break_long_words=False, break_on_hyphens=False)


def _clock(seconds: float, separator: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, thousandths = divmod(milliseconds, 1000)
    return f"{hours:02d}:{minutes:02d}:{whole:02d}{separator}{thousandths:03d}"
