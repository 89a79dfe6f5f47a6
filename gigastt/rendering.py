"""Renderings: a transcript as text, JSON, captions or Markdown, in pieces as it comes.

One place for all who write transcripts down: the command line, and the answers to uploads. Pure functions over one
segment at a time, so that a long file's captions are written while it is being transcribed. Cues keep the limits of
broadcasters' guides: two lines of 42 characters, about seven seconds. Names and order of the JSON's fields are the
protocol's; `/v1/ws`, server-sent events, the answer to an upload and the command line share them.
"""

from __future__ import annotations

import html
import itertools
import json
import textwrap
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias
from typing import Final as Constant

from gigastt.speakers import speaker_title, turns_of
from gigastt.transcript import (
    Alternative,
    Final,
    Gap,
    HeardSpeakers,
    HeardTrack,
    Partial,
    Transcript,
    Word,
    speaker_of,
    text_of,
)

CaptionForm: TypeAlias = Literal["srt", "vtt"]

LINE_CHARACTERS = 42
CUE_LINES = 2
CUE_SECONDS = 7.0
PAUSE_SECONDS = 1.0
VTT_HEADER = "WEBVTT\n\n"
_SENTENCE_ENDS = (".", "?", "!", "…")
TranscriptForm: TypeAlias = Literal["text", "json", "srt", "vtt", "md"]
MEDIA_TYPES: Constant[dict[TranscriptForm, str]] = {
    "json": "application/json",
    "text": "text/plain",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "md": "text/markdown",
}


@dataclass(slots=True)
class Renderer:
    """Writes one file's transcript: captions, text and Markdown as each segment arrives, JSON as one line at the end.

    If speakers are told apart, each change begins a line, cue or paragraph with the speaker's name.

    form: a line a segment, one object, numbered cues, or a paragraph a segment with its time before it.
    file: a name to put into the object, where several files share a stream.
    tells_channels: write each segment's channel before it, in brackets.
    tells_dropped: put what was left out into the object.
    """

    form: TranscriptForm
    file: str | None = None
    tells_channels: bool = field(default=False, kw_only=True)
    tells_dropped: bool = field(default=False, kw_only=True)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1), init=False)

    def begin(self) -> str:
        """Return what comes before all segments."""
        return VTT_HEADER if self.form == "vtt" else ""

    def segment(self, segment: Final) -> str:
        """Return the next segment."""
        return "".join(map(self._turn, turns_of(segment)))

    def _turn(self, segment: Final) -> str:
        if self.form == "json":
            return ""
        word = speaker_of(segment.words)
        who = speaker_title(word) if word is not None else ""
        label = f"[{segment.channel}] " if self.tells_channels else ""
        if self.form == "text":
            return f"{label}{f'{who}: ' if who else ''}{segment.text}\n"
        if self.form == "md":
            return f"**[{_clock(segment.start)}{f' {who}' if who else ''}]** {label}{segment.text}\n\n"
        cues = make_cues(segment.words)
        told = (replace(cue, text=label + cue.text) for cue in cues)
        return "".join(format_cue(cue, next(self._numbers), self.form, who) for cue in told)

    def end(self, heard: Transcript) -> str:
        """Return what comes behind all segments."""
        if self.form != "json":
            return ""
        told = transcript_fields(heard, tells_dropped=self.tells_dropped)
        named = told if self.file is None else {"file": self.file} | told
        return json.dumps(named, ensure_ascii=False) + "\n"


def render_transcript(form: TranscriptForm, heard: Transcript) -> str:
    """Return a whole transcript, written as `Renderer` does."""
    renderer = Renderer(form, tells_channels=bool(heard.copies))
    return "".join([renderer.begin(), *map(renderer.segment, heard.finals), renderer.end(heard)])


def _clock(seconds: float) -> str:
    return _caption_clock(int(seconds), ".")[: -len(".000")]


# -- captions


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
    return f"{number}\n{_caption_clock(cue.start, separator)} --> {_caption_clock(cue.end, separator)}\n{text}\n\n"


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


def _caption_clock(seconds: float, separator: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, thousandths = divmod(milliseconds, 1000)
    return f"{hours:02d}:{minutes:02d}:{whole:02d}{separator}{thousandths:03d}"


def word_fields(word: Word) -> dict[str, Any]:
    """Render a word."""
    fields = {"word": word.text, "start": word.start, "end": word.end, "confidence": word.confidence}
    return fields | _speaker_fields(word)


def speakers_fields(heard: HeardSpeakers) -> list[dict[str, Any]]:
    """Render the speakers of a whole session or file."""
    return [
        {
            "speaker": one.speaker,
            **({"speaker_name": one.name} if one.name else {}),
            "seconds": one.seconds,
            **({"embedding": b64encode(one.embedding).decode()} if heard.tells_embeddings and one.embedding else {}),
        }
        for one in heard.speakers
    ]


def partial_fields(partial: Partial) -> dict[str, Any]:
    """Render a partial as an event of the time it is told."""
    fields = {**_event_fields("partial", partial), "stable": partial.stable}
    return fields | {"as_final": True} if partial.as_final else fields


def final_fields(final: Final) -> dict[str, Any]:
    """Render a final as an event of the time it is told."""
    return {
        **_event_fields("final", final),
        "seq": final.seq,
        "start": final.start,
        "end": final.end,
        "confidence": final.confidence,
        "endpoint_reason": final.reason,
        "speech_final": final.reason != "max_duration",
        **_segment_speaker(final),
        **alternatives_fields(final.alternatives),
    }


def alternatives_fields(alternatives: Sequence[Alternative]) -> dict[str, Any]:
    """Render alternatives, where they were asked for."""
    told = [
        {"text": one.text, "confidence": one.confidence, "words": [word_fields(word) for word in one.words]}
        for one in alternatives
    ]
    return {"alternatives": told} if told else {}


def gap_fields(gap: Gap) -> dict[str, Any]:
    """Render a span without words."""
    return {"code": gap.code, "start": gap.start, "end": gap.end}


def channel_fields(told: Final | Partial | Gap, *, is_told: bool) -> dict[str, Any]:
    """Render the channel of something, where channels are told apart."""
    return {"channel": told.channel} if is_told else {}


def track_fields(track: HeardTrack) -> dict[str, Any]:
    """Render the track that was heard."""
    return {"number": track.number, "of": track.count, "language": track.language}


def transcript_fields(heard: Transcript, *, tells_dropped: bool = False) -> dict[str, Any]:
    """Render the transcript of a whole file.

    `failed` only where a span has no words, `track` where there are several, `channels` where they are told apart;
    `dropped` only where it is asked for.
    """
    apart = bool(heard.copies)
    fields: dict[str, Any] = {
        "text": text_of(heard.finals),
        "words": [
            {**word_fields(word), **channel_fields(final, is_told=apart)}
            for final in heard.finals
            for word in final.words
        ],
        "duration": round(heard.duration, 3),
        "segments": [
            {
                **channel_fields(final, is_told=apart),
                "text": final.text,
                "start": final.start,
                "end": final.end,
                "confidence": final.confidence,
                "words": [word_fields(word) for word in final.words],
                **_segment_speaker(final),
                **alternatives_fields(final.alternatives),
            }
            for final in heard.finals
        ],
    }
    if apart:
        fields["channels"] = [_channel_summary(heard, channel) for channel in range(len(heard.copies))]
    if heard.speakers is not None:
        fields["speakers"] = speakers_fields(heard.speakers)
    if heard.track:
        fields["track"] = track_fields(heard.track)
    if heard.gaps:
        fields["failed"] = [{**gap_fields(gap), **channel_fields(gap, is_told=apart)} for gap in heard.gaps]
    if tells_dropped:
        fields["dropped"] = [
            {
                "reason": final.drop,
                **channel_fields(final, is_told=apart),
                "start": final.start,
                "end": final.end,
                "words": [word_fields(word) for word in final.dropped],
            }
            for final in heard.dropped
        ]
    return fields


def failed_fields(gaps: Sequence[Gap]) -> dict[str, Any]:
    """Render the spans without words of a transcript; most have none."""
    return {"failed": [gap_fields(gap) for gap in gaps]} if gaps else {}


def _channel_summary(heard: Transcript, channel: int) -> dict[str, Any]:
    original = heard.copies[channel]
    if original is not None:
        return {"channel": channel, "copy_of": original}
    return {"channel": channel, "text": text_of([final for final in heard.finals if final.channel == channel])}


def _speaker_fields(word: Word) -> dict[str, Any]:
    if word.speaker < 0:
        return {}
    fields: dict[str, Any] = {"speaker": word.speaker, "speaker_confidence": word.speaker_confidence}
    return fields | {"speaker_name": word.speaker_name} if word.speaker_name else fields


def _segment_speaker(final: Final) -> dict[str, Any]:
    """Render who says most of an utterance."""
    word = speaker_of(final.words)
    if word is None:
        return {}
    fields: dict[str, Any] = {"speaker": word.speaker}
    return fields | {"speaker_name": word.speaker_name} if word.speaker_name else fields


def _event_fields(kind: Literal["partial", "final"], told: Partial | Final) -> dict[str, Any]:
    return {
        "type": kind,
        "text": told.text,
        "words": [word_fields(word) for word in told.words],
        "is_final": kind == "final",
        "timestamp": round(time.time(), 3),
    }
