"""Outputs: a transcript as text, JSON or captions, written while its segments arrive.

Each is given a text stream and must not know where that leads. The JSON is what `POST /v1/transcribe` answers.
"""

from __future__ import annotations

import json
from typing import Any, Literal, Protocol, TextIO, TypeAlias

from gigastt.captions import VTT_HEADER, CaptionForm, format_cue, make_cues
from gigastt.speech.hypothesis import Word
from gigastt.transcribe import Segment

OutputForm: TypeAlias = Literal["text", "json", "srt", "vtt"]


class Output(Protocol):
    """One file's transcript being written."""

    def write(self, segment: Segment) -> None:
        """Take the next segment."""

    def finish(self, seconds: float) -> None:
        """Write what can only come last; the audio was so long."""


class TextOutput:
    """A line for each segment."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, segment: Segment) -> None:
        self._stream.write(segment.text + "\n")
        self._stream.flush()

    def finish(self, seconds: float) -> None:
        self._stream.flush()


class JsonOutput:
    """One object on one line; the only output that waits for the end.

    Args:
        file: a name to put into the object, where several files share a stream.
    """

    def __init__(self, stream: TextIO, file: str | None = None) -> None:
        self._stream = stream
        self._file = file
        self._segments: list[Segment] = []

    def write(self, segment: Segment) -> None:
        self._segments.append(segment)

    def finish(self, seconds: float) -> None:
        answer = {} if self._file is None else {"file": self._file}
        answer |= transcript_json(self._segments, seconds)
        self._stream.write(json.dumps(answer, ensure_ascii=False) + "\n")
        self._stream.flush()


class CaptionOutput:
    """Numbered cues, in SubRip or WebVTT."""

    def __init__(self, stream: TextIO, form: CaptionForm) -> None:
        self._stream = stream
        self._form: CaptionForm = form
        self._cues = 0
        if form == "vtt":
            stream.write(VTT_HEADER)

    def write(self, segment: Segment) -> None:
        for cue in make_cues(segment.words):
            self._cues += 1
            self._stream.write(format_cue(cue, self._cues, self._form))
        self._stream.flush()

    def finish(self, seconds: float) -> None:
        self._stream.flush()


def open_output(form: OutputForm, stream: TextIO, file: str | None = None) -> Output:
    """Begin one file's transcript in the form asked for."""
    if form == "json":
        return JsonOutput(stream, file)
    if form == "text":
        return TextOutput(stream)
    return CaptionOutput(stream, form)


def transcript_json(segments: list[Segment], seconds: float) -> dict[str, Any]:
    """Build the answer of `POST /v1/transcribe` for these segments."""
    return {
        "text": " ".join(segment.text for segment in segments),
        "words": [_word_json(word) for segment in segments for word in segment.words],
        "duration": round(seconds, 3),
        "segments": [
            {
                "text": segment.text,
                "words": [_word_json(word) for word in segment.words],
                "start": segment.start,
                "end": segment.end,
                "confidence": segment.confidence,
            }
            for segment in segments
        ],
    }


def _word_json(word: Word) -> dict[str, Any]:
    return {"word": word.text, "start": word.start, "end": word.end, "confidence": word.confidence}
