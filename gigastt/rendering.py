"""Renderings: a transcript as text, JSON, captions or Markdown, in pieces as it comes.

One place for all who write transcripts down: the command line, and the answers to uploads. Pure functions.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Final as Constant
from typing import Literal, TypeAlias

from gigastt.captions import VTT_HEADER, format_cue, make_cues
from gigastt.speakers import speaker_title, turns_of
from gigastt.transcript import Final, Transcript, speaker_of, transcript_fields

TranscriptForm: TypeAlias = Literal["text", "json", "srt", "vtt", "md"]
MEDIA_TYPES: Constant[dict[TranscriptForm, str]] = {
    "json": "application/json",
    "text": "text/plain",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "md": "text/markdown",
}


class Renderer:
    """Writes one file's transcript: captions, text and Markdown as each segment arrives, JSON as one line at the end.

    If speakers are told apart, each change begins a line, cue or paragraph with the speaker's name.

    Args:
        form: a line a segment, one object, numbered cues, or a paragraph a segment with its time before it.
        file: a name to put into the object, where several files share a stream.
        tells_channels: write each segment's channel before it, in brackets.
        tells_dropped: put what was left out into the object.
    """

    def __init__(
        self,
        form: TranscriptForm,
        file: str | None = None,
        *,
        tells_channels: bool = False,
        tells_dropped: bool = False,
    ) -> None:
        self._form = form
        self._file = file
        self._tells_channels = tells_channels
        self._tells_dropped = tells_dropped
        self._numbers = itertools.count(1)

    def begin(self) -> str:
        """Return what comes before all segments."""
        return VTT_HEADER if self._form == "vtt" else ""

    def segment(self, segment: Final) -> str:
        """Return the next segment."""
        return "".join(map(self._turn, turns_of(segment)))

    def _turn(self, segment: Final) -> str:
        if self._form == "json":
            return ""
        word = speaker_of(segment.words)
        who = speaker_title(word) if word is not None else ""
        label = f"[{segment.channel}] " if self._tells_channels else ""
        if self._form == "text":
            return f"{label}{f'{who}: ' if who else ''}{segment.text}\n"
        if self._form == "md":
            return f"**[{_clock(segment.start)}{f' {who}' if who else ''}]** {label}{segment.text}\n\n"
        cues = make_cues(segment.words)
        told = (replace(cue, text=label + cue.text) for cue in cues)
        return "".join(format_cue(cue, next(self._numbers), self._form, who) for cue in told)

    def end(self, heard: Transcript) -> str:
        """Return what comes behind all segments."""
        if self._form != "json":
            return ""
        told = transcript_fields(heard, tells_dropped=self._tells_dropped)
        named = told if self._file is None else {"file": self._file} | told
        return json.dumps(named, ensure_ascii=False) + "\n"


def render_transcript(form: TranscriptForm, heard: Transcript) -> str:
    """Return a whole transcript, written as `Renderer` does."""
    renderer = Renderer(form, tells_channels=bool(heard.copies))
    return "".join([renderer.begin(), *map(renderer.segment, heard.finals), renderer.end(heard)])


def _clock(seconds: float) -> str:
    minutes, whole = divmod(int(seconds), 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{whole:02d}"
