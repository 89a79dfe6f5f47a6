"""Renderings: a transcript as text, JSON, captions or Markdown, in pieces as it comes.

One place for all who write transcripts down: the command line, and the answers to uploads. Pure functions.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final as Constant
from typing import Literal, TypeAlias

from gigastt.captions import VTT_HEADER, format_cue, make_cues
from gigastt.transcript import Final, Gap, transcript_fields

TranscriptForm: TypeAlias = Literal["text", "json", "srt", "vtt", "md"]
MEDIA_TYPES: Constant[dict[TranscriptForm, str]] = {
    "json": "application/json",
    "text": "text/plain",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "md": "text/markdown",
}


def render_transcript(
    form: TranscriptForm,
    segments: Iterable[Final],
    seconds: Callable[[], float],
    file: str | None = None,
    gaps: Callable[[], Sequence[Gap]] = tuple,
    dropped: Callable[[], Sequence[Final]] | None = None,
) -> Iterator[str]:
    """Yield one file's transcript: text, captions and Markdown as each segment arrives, JSON as one line at the end.

    Args:
        form: a line a segment, one object, numbered cues, or a paragraph a segment with its time before it.
        segments: the transcript, as it comes.
        seconds: how long the audio was; asked when the segments have ended.
        file: a name to put into the object, where several files share a stream.
        gaps: returns the spans without words, for the object; asked when the segments have ended.
        dropped: returns what was left out, in the same way; None keeps silent about it.
    """
    if form == "json":
        finals = list(segments)
        transcript = transcript_fields(finals, seconds(), gaps(), dropped() if dropped else None)
        named = transcript if file is None else {"file": file} | transcript
        yield json.dumps(named, ensure_ascii=False) + "\n"
        return
    if form == "vtt":
        yield VTT_HEADER
    numbers = itertools.count(1)
    for segment in segments:
        if form == "text":
            yield segment.text + "\n"
        elif form == "md":
            yield f"**[{_clock(segment.start)}]** {segment.text}\n\n"
        else:
            yield "".join(format_cue(cue, next(numbers), form) for cue in make_cues(segment.words))


def _clock(seconds: float) -> str:
    minutes, whole = divmod(int(seconds), 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{whole:02d}"
