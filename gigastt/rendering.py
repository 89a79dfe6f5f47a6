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
from gigastt.transcript import (
    Final,
    Gap,
    Speakers,
    speaker_of,
    speaker_title,
    transcript_fields,
    turns_of,
)

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
    speakers: Callable[[], Speakers | None] = lambda: None,
) -> Iterator[str]:
    """Yield one file's transcript: text, captions and Markdown as each segment arrives, JSON as one line at the end.

    Args:
        form: a line a segment, one object, numbered cues, or a paragraph a segment with its time before it.
        segments: the transcript, as it comes.
        seconds: how long the audio was; asked when the segments have ended.
        file: a name to put into the object, where several files share a stream.
        gaps: returns the spans without words, for the object; asked when the segments have ended.
        dropped: returns what was left out, in the same way; None keeps silent about it.
        speakers: returns who speaks, in the same way. Where they are told apart, text, captions and Markdown begin a
            line, cue or paragraph with each change, and say who it is.
    """
    if form == "json":
        finals = list(segments)
        transcript = transcript_fields(finals, seconds(), gaps(), dropped() if dropped else None, speakers())
        named = transcript if file is None else {"file": file} | transcript
        yield json.dumps(named, ensure_ascii=False) + "\n"
        return
    if form == "vtt":
        yield VTT_HEADER
    numbers = itertools.count(1)
    for turn in itertools.chain.from_iterable(map(turns_of, segments)):
        word = speaker_of(turn.words)
        who = speaker_title(word) if word is not None else ""
        if form == "text":
            yield f"{who}: {turn.text}\n" if who else f"{turn.text}\n"
        elif form == "md":
            yield f"**[{_clock(turn.start)}{f' {who}' if who else ''}]** {turn.text}\n\n"
        else:
            yield "".join(format_cue(cue, next(numbers), form, who) for cue in make_cues(turn.words))


def _clock(seconds: float) -> str:
    minutes, whole = divmod(int(seconds), 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{whole:02d}"
