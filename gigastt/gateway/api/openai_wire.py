"""Transcripts and errors as JSON, in the shape of OpenAI's API. No I/O.

Words stand for tokens: a word's log-probability is the logarithm of its confidence, and the space before a word
belongs to it, so that tokens joined are the text.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from gigastt.errors import RequestError
from gigastt.rendering import channel_fields, failed_fields, track_fields
from gigastt.speakers import turns_of
from gigastt.transcript import Final, Transcript, Word, speaker_of, text_of

_LANGUAGE = "russian"  # OpenAI tells a language by its English name
_LEAST_CONFIDENCE = 0.000_05  # confidences are rounded to four places
_ERROR_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
ALIASES = (
    "whisper-1",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe-diarize",
    "gpt-live-transcribe",
)


def openai_error_fields(exc: RequestError) -> Mapping[str, Any]:
    """Render an error, as every layer answers it on these routes."""
    kind = _ERROR_TYPES.get(exc.status, "server_error" if exc.status >= 500 else "invalid_request_error")
    return {"error": {"message": str(exc), "type": kind, "param": exc.param, "code": exc.code}}


def model_fields(name: str) -> dict[str, Any]:
    """Render a model; when it was made is not known here."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "gigastt"}


def transcription(heard: Transcript, *, logprobs: bool) -> dict[str, Any]:
    """Render `json`."""
    fields: dict[str, Any] = {"text": text_of(heard.finals)}
    if logprobs:
        fields["logprobs"] = logprobs_of(heard.finals)
    return fields | {"usage": _usage(heard)} | failed_fields(heard.gaps)


def verbose_transcription(heard: Transcript, *, words: bool, segments: bool) -> dict[str, Any]:
    """Render `verbose_json`; beyond the API, with channels where they are told apart, and the track among several."""
    apart = bool(heard.copies)
    fields: dict[str, Any] = {
        "task": "transcribe",
        "language": _LANGUAGE,
        "duration": round(heard.duration, 2),
        "text": text_of(heard.finals),
    }
    if words:
        fields["words"] = [
            {"word": word.text, "start": word.start, "end": word.end, **channel_fields(final, is_told=apart)}
            for final in heard.finals
            for word in final.words
        ]
    if segments:
        fields["segments"] = [
            _segment(number, final) | channel_fields(final, is_told=apart) for number, final in enumerate(heard.finals)
        ]
    if heard.track:
        fields["track"] = track_fields(heard.track)
    return fields | {"usage": _usage(heard)} | failed_fields(heard.gaps)


def diarized_transcription(heard: Transcript) -> dict[str, Any]:
    """Render `diarized_json`: a segment for each speaker's turn within an utterance."""
    return {
        "task": "transcribe",
        "duration": round(heard.duration, 2),
        "text": text_of(heard.finals),
        "segments": diarized_segments(heard.finals),
        "usage": _usage(heard),
        **failed_fields(heard.gaps),
    }


def diarized_segments(finals: Sequence[Final], first: int = 0) -> list[dict[str, Any]]:
    """Render turns, numbered from `first`; speakers without a name are letters, in order of appearance."""
    return [
        {
            "type": "transcript.text.segment",
            "id": f"seg_{first + number}",
            "start": turn.start,
            "end": turn.end,
            "text": f" {turn.text}",
            "speaker": _speaker_name(turn.words),
        }
        for number, turn in enumerate(turn for final in finals for turn in turns_of(final))
    ]


def _speaker_name(words: Sequence[Word]) -> str:
    word = speaker_of(words)
    if word is None:
        return "unknown"
    return word.speaker_name or chr(ord("A") + word.speaker)


def logprobs_of(finals: Sequence[Final], *, first: bool = True) -> list[dict[str, Any]]:
    """Render how probable the words are; the space before them is left out at the `first` of a transcript."""
    words = [word for final in finals for word in final.words]
    tokens = [word.text if first and not number else f" {word.text}" for number, word in enumerate(words)]
    return [
        {"token": token, "logprob": _log_probability(word), "bytes": list(token.encode())}
        for token, word in zip(tokens, words, strict=True)
    ]


def _segment(number: int, final: Final) -> dict[str, Any]:
    """Render an utterance.

    seek: the frame of 10 ms at which it begins. temperature: 0, for the search is greedy whatever was asked for.
    no_speech_prob: what the activity detector leaves.
    """
    packed = len(zlib.compress(final.text.encode()))
    return {
        "id": number,
        "seek": round(final.start * 100),
        "start": final.start,
        "end": final.end,
        "text": f" {final.text}",
        "tokens": list(final.tokens),
        "temperature": 0.0,
        "avg_logprob": _mean_log_probability(final.words),
        "compression_ratio": round(len(final.text.encode()) / packed, 4),
        "no_speech_prob": round(1.0 - final.speech, 4),
    }


def _mean_log_probability(words: Sequence[Word]) -> float:
    return round(math.fsum(map(_log_probability, words)) / max(1, len(words)), 4)


def _log_probability(word: Word) -> float:
    return round(math.log(min(1.0, max(word.confidence, _LEAST_CONFIDENCE))), 4)


def _usage(heard: Transcript) -> dict[str, Any]:
    return {"type": "duration", "seconds": round(heard.duration, 2)}
