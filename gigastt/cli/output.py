"""A transcript as text, JSON or captions, on whatever text stream is given.

The JSON is what `POST /v1/transcribe` answers.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TextIO, TypeAlias

from gigastt.captions import VTT_HEADER, format_cue, make_cues
from gigastt.transcript import Final, Gap, transcript_fields

OutputForm: TypeAlias = Literal["text", "json", "srt", "vtt"]


def write_transcript(
    form: OutputForm,
    segments: Iterable[Final],
    stream: TextIO,
    seconds: Callable[[], float],
    file: str | None = None,
    gaps: Callable[[], Sequence[Gap]] = tuple,
    dropped: Callable[[], Sequence[Final]] | None = None,
) -> None:
    """Write one file's transcript; text and captions as each segment arrives, JSON as one line at the end.

    Args:
        form: a line a segment, one object, or numbered cues.
        segments: the transcript, as it comes.
        stream: where to.
        seconds: how long the audio was; asked when the segments have ended.
        file: a name to put into the object, where several files share a stream.
        gaps: returns the spans without words, for the object; asked when the segments have ended.
        dropped: returns what was left out, in the same way; None keeps silent about it.
    """
    if form == "json":
        finals = list(segments)
        transcript = transcript_fields(finals, seconds(), gaps(), dropped() if dropped else None)
        named = transcript if file is None else {"file": file} | transcript
        stream.write(json.dumps(named, ensure_ascii=False) + "\n")
        stream.flush()
        return
    if form == "vtt":
        stream.write(VTT_HEADER)
    numbers = itertools.count(1)
    for segment in segments:
        if form == "text":
            stream.write(segment.text + "\n")
        else:
            stream.writelines(format_cue(cue, next(numbers), form) for cue in make_cues(segment.words))
        stream.flush()
