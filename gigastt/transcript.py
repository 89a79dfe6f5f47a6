"""The vocabulary: what the recogniser finds, in one form from the search to the client, and how it is told in JSON.

Plain values that any thread or process may hold. Times are seconds from the first sample of the client's audio. Names
and order of the JSON's fields are the protocol's; `/v1/ws`, server-sent events, the answer to an upload and the command
line share them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

ENDPOINT_SILENCE_MS = (200, 5_000)  # the least and the most

EndpointReason: TypeAlias = Literal["silence", "max_duration", "flush", "stop", "shutdown", "timeout", "error"]
Drop: TypeAlias = Literal["", "no_speech", "doubtful", "min_confidence"]
GapCode: TypeAlias = Literal["inference_error", "segment_failed", "audio_damaged", "audio_missing"]


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its punctuation."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Partial:
    """The utterance so far; its first `stable` words will not change in a later partial.

    as_final: no audio comes, and these are the words that the final would have if none came any more.
    channel: as in `Final`.
    """

    text: str
    words: tuple[Word, ...]
    stable: int
    as_final: bool = False
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Final:
    """One whole utterance. Its text may be empty.

    reason: why it ended.
    channel, seq: of a session, which numbers its finals over all its channels; both from 0. A worker knows neither.
    tokens: what the text is made of, as numbers in the model's vocabulary.
    speech: how sure the detector was that this is speech, 0 to 1.
    drop: why it has no words although something was heard: the detector calls it no speech, or doubts it and the
        recogniser is sure of no word, or no word reaches the least confidence asked for. Empty if nothing was left out.
    dropped: the words left out.
    """

    text: str
    words: tuple[Word, ...]
    start: float
    end: float
    confidence: float
    reason: EndpointReason
    channel: int = 0
    seq: int = 0
    tokens: tuple[int, ...] = ()
    speech: float = 1.0
    drop: Drop = ""
    dropped: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Gap:
    """A span of audio without words.

    code: `inference_error` (the recogniser refused it), `segment_failed` (it killed two workers and was skipped),
        `audio_damaged` or `audio_missing` (the uploaded file has no audio there).
    channel: as in `Final`.
    """

    code: GapCode
    start: float
    end: float
    channel: int = 0


@dataclass(frozen=True, slots=True)
class HeardTrack:
    """The audio track of a file that was heard: its number, from 0, of so many, and its language ("" if not told)."""

    number: int
    count: int
    language: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in a file.

    finals: the utterances that have words, in order of time.
    duration: of the audio, in seconds.
    gaps: spans without words.
    dropped: utterances whose words were left out.
    track: the one that was heard; None where the file has no other.
    copies: where channels are told apart, for each the earlier one that it is a copy of, or None; else empty.
    """

    finals: Sequence[Final]
    duration: float
    gaps: Sequence[Gap] = ()
    dropped: Sequence[Final] = ()
    track: HeardTrack | None = None
    copies: Sequence[int | None] = ()


@dataclass(frozen=True, slots=True)
class Options:
    """How a stream is cut into utterances, and whether it tells of them before they end.

    endpoint_silence_ms: the silence that ends an utterance, within `ENDPOINT_SILENCE_MS`.
    """

    endpoint_silence_ms: int = 600
    partials: bool = True


def word_fields(word: Word) -> dict[str, Any]:
    """Render a word."""
    return {"word": word.text, "start": word.start, "end": word.end, "confidence": word.confidence}


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
    }


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
            }
            for final in heard.finals
        ],
    }
    if apart:
        fields["channels"] = [_channel_summary(heard, channel) for channel in range(len(heard.copies))]
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


def text_of(finals: Sequence[Final]) -> str:
    """Return the text of a transcript."""
    return " ".join(final.text for final in finals)


def _channel_summary(heard: Transcript, channel: int) -> dict[str, Any]:
    original = heard.copies[channel]
    if original is not None:
        return {"channel": channel, "copy_of": original}
    return {"channel": channel, "text": text_of([final for final in heard.finals if final.channel == channel])}


def _event_fields(kind: Literal["partial", "final"], told: Partial | Final) -> dict[str, Any]:
    return {
        "type": kind,
        "text": told.text,
        "words": [word_fields(word) for word in told.words],
        "is_final": kind == "final",
        "timestamp": round(time.time(), 3),
    }
