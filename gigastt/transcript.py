"""The vocabulary: what the recogniser finds, in one form from the search to the client.

Plain values that any thread or process may hold. Times are seconds from the first sample of the client's audio.
`rendering` tells them in JSON.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

ENDPOINT_SILENCE_MS = (200, 5_000)  # the least and the most

MOST_ALTERNATIVES = 5

EndpointReason: TypeAlias = Literal["silence", "max_duration", "flush", "stop", "shutdown", "timeout", "error"]
Drop: TypeAlias = Literal["", "no_speech", "doubtful", "min_confidence"]
GapCode: TypeAlias = Literal["inference_error", "segment_failed", "audio_damaged", "audio_missing"]


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its punctuation.

    speaker: who says it, from 0 in order of appearance; -1 where speakers are not told apart.
    speaker_confidence: how much more it is that voice than any other's of the session, 0 to 1.
    speaker_name: of a speaker whom the client has named.
    """

    text: str
    start: float
    end: float
    confidence: float
    speaker: int = -1
    speaker_confidence: float = 0.0
    speaker_name: str = ""


@dataclass(frozen=True, slots=True)
class Voice:
    """One voice in a few seconds of an utterance.

    spans: when it is heard, in frames of 10 ms from the first sample of the audio: begin, end, begin, end …
    alone: seconds of them in which no other voice is heard.
    embedding: what it sounds like, a vector of length 1 as float16, little-endian.
    """

    spans: tuple[int, ...]
    alone: float
    embedding: bytes


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
class Alternative:
    """One of several transcripts that an utterance may have; its fields are as in `Final`."""

    text: str
    words: tuple[Word, ...]
    confidence: float


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
    voices: that are heard in it, where its client wants speakers told apart.
    alternatives: what may have been said, first what is told, where its client wants more than that.
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
    voices: tuple[Voice, ...] = ()
    alternatives: tuple[Alternative, ...] = ()


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
    """The transcript of a file.

    finals: the utterances that have words, in order of time.
    duration: of the audio, in seconds.
    gaps: spans without words.
    dropped: utterances whose words were left out.
    track: the one that was heard; None where the file has no other.
    copies: where channels are told apart, for each the earlier one that it is a copy of, or None; else empty.
    speakers: who they are, where that was wanted; the words of `finals` have theirs.
    """

    finals: Sequence[Final]
    duration: float
    gaps: Sequence[Gap] = ()
    dropped: Sequence[Final] = ()
    track: HeardTrack | None = None
    copies: Sequence[int | None] = ()
    speakers: HeardSpeakers | None = None


@dataclass(frozen=True, slots=True)
class Hotword:
    """A phrase that is expected to be heard.

    weight: how much it is preferred to what sounds like it.
    """

    phrase: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """How a stream is cut into utterances, what is told of them, and whether before they end.

    endpoint_silence_ms: the silence that ends an utterance, within `ENDPOINT_SILENCE_MS`.
    diarization: whether finals tell which voices are heard in them.
    hotwords: that finals prefer to what sounds like them.
    most_alternatives: how many transcripts finals tell of, the best one included.
    """

    endpoint_silence_ms: int = 600
    partials: bool = True
    diarization: bool = False
    hotwords: tuple[Hotword, ...] = ()
    most_alternatives: int = 1


FINALS_ONLY = Options(partials=False)


@dataclass(frozen=True, slots=True)
class HeardSpeaker:
    """One speaker of a whole session or file.

    name: that the client knows the speaker by, or nothing.
    seconds: of words.
    embedding: as in `Voice`; empty where speakers are channels.
    """

    speaker: int
    name: str
    seconds: float
    embedding: bytes = b""


@dataclass(frozen=True, slots=True)
class HeardSpeakers:
    """The speakers of a whole session or file, which are known best at its end.

    speakers: in order of appearance.
    finals: the words of each final that has words, in their order, with their speakers, names and confidences.
    tells_embeddings: whether the client wants to know them.
    """

    speakers: tuple[HeardSpeaker, ...]
    finals: tuple[tuple[Word, ...], ...]
    tells_embeddings: bool = False


def speaker_of(words: Sequence[Word]) -> Word | None:
    """Return a word of the speaker who says most of these words; None where speakers are not told apart."""
    seconds: dict[int, float] = {}
    for word in words:
        if word.speaker >= 0:
            seconds[word.speaker] = seconds.get(word.speaker, 0.0) + word.end - word.start
    if not seconds:
        return None
    speaker = max(seconds, key=lambda one: seconds[one])
    return next(word for word in words if word.speaker == speaker)


def alternatives_of(finals: Sequence[Final]) -> list[Alternative]:
    """Return the alternatives of utterances that are told as one: all at their best, all at their second …"""
    ranked = [final.alternatives for final in finals if final.alternatives]
    joined: list[Alternative] = []
    for rank in range(max(map(len, ranked), default=0)):
        parts = [each[rank] if rank < len(each) else each[0] for each in ranked]
        words = tuple(word for part in parts for word in part.words)
        confidence = mean_confidence(words)
        joined.append(Alternative(" ".join(part.text for part in parts), words, confidence))
    return joined


def text_of(finals: Sequence[Final]) -> str:
    """Return the text of a transcript."""
    return " ".join(final.text for final in finals)


def mean_confidence(words: Sequence[Word]) -> float:
    """Return the mean confidence of words, to four places; 0 without any."""
    return round(math.fsum(word.confidence for word in words) / max(1, len(words)), 4)
