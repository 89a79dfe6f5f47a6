"""Wire: what clients are told, as JSON.

No I/O, but the time of day is in every transcript. One function for each kind of message of `/v1/ws`; names of fields
are the protocol's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gigastt.audio.pcm import ENCODINGS
from gigastt.audio.resample import SAMPLE_RATE_RANGE, SUPPORTED_RATES
from gigastt.gateway.api.configure import CHANNELS, PROTOCOL_VERSION, VERSIONS
from gigastt.gateway.api.dialect import DEFAULT_RATE, Ack, Moment, Opening
from gigastt.gateway.responses import json_text
from gigastt.rendering import channel_fields, final_fields, gap_fields, partial_fields, speakers_fields
from gigastt.transcript import Final, Gap, GapCode, HeardSpeakers, Partial

LAG_WORTH_TELLING_SECONDS = 1.0
_TEXTS: dict[GapCode, str] = {
    "inference_error": "This part of the audio could not be recognised.",
    "segment_failed": "This part of the audio was skipped.",
    "audio_damaged": "This part of the file is damaged.",
    "audio_missing": "The file has no audio in this part.",
}


def gap_error_fields(gap: Gap) -> dict[str, Any]:
    """Return the error that declares such a span."""
    return {"type": "error", "message": _TEXTS[gap.code], **gap_fields(gap)}


def session_speakers(heard: HeardSpeakers) -> dict[str, Any]:
    """Return the message about the speakers of a whole session or file; `words` has one number for each word told."""
    words = [word.speaker for final in heard.finals for word in final]
    return {"type": "speakers", "speakers": speakers_fields(heard), "words": words}


def ready(opening: Opening) -> str:
    """Return the first message of a session."""
    return json_text(
        {
            "type": "ready",
            "model": opening.model,
            "sample_rate": DEFAULT_RATE,
            "version": PROTOCOL_VERSION,
            "min_protocol_version": VERSIONS[0],
            "supported_rates": SUPPORTED_RATES,
            "sample_rate_range": SAMPLE_RATE_RANGE,
            "supported_encodings": ENCODINGS,
            "max_channels": max(CHANNELS),
            "diarization": opening.diarization,
            "session_id": opening.session_id,
            "max_session_secs": _whole(opening.max_session_secs),
            "idle_timeout_secs": _whole(opening.idle_timeout_secs),
            **({} if opening.resume_token is None else {"resume_token": opening.resume_token}),
        }
    )


def acknowledgement(ack: Ack) -> str:
    """Return what a client that can resume may forget."""
    fields = {"received": ack.received, "committed": ack.committed, "final_seq": ack.final_seq, "flushes": ack.flushes}
    named = {} if ack.token is None else {"resume_token": ack.token, "session_id": ack.session_id}
    return json_text({"type": "ack", **fields, **named})


def goaway(seconds: float) -> str:
    """Return the request to resume at another server."""
    return json_text({"type": "goaway", "seconds": round(seconds, 1)})


def unusable_hotwords(phrases: Sequence[str]) -> str:
    """Return the phrases that the served model cannot write."""
    return json_text({"type": "hotwords", "unusable": phrases})


def pong() -> str:
    """Return the answer to a client's `ping`."""
    return json_text({"type": "pong"})


def error(code: str, message: str, retry_after_ms: int | None = None) -> str:
    """Return an error message."""
    fields: dict[str, Any] = {"type": "error", "message": message, "code": code}
    if retry_after_ms is not None:
        fields["retry_after_ms"] = retry_after_ms
    return json_text(fields)


def partial(event: Partial, moment: Moment, seq: int) -> str:
    """Return a partial; `seq` is the number that its final will have."""
    fields = {**partial_fields(event), "seq": seq}
    if moment.lag_seconds > LAG_WORTH_TELLING_SECONDS:
        fields["lag_ms"] = round(moment.lag_seconds * 1000)
    return json_text(fields | channel_fields(event, is_told=moment.channels > 1))


def final(event: Final, *, channels: int) -> str:
    """Return a final."""
    return json_text(final_fields(event) | channel_fields(event, is_told=channels > 1))


def speakers(heard: HeardSpeakers) -> str:
    """Return who speaks in the whole session, word by word."""
    return json_text(session_speakers(heard))


def failure(gap: Gap, *, channels: int) -> str:
    """Return the error message of a span of audio without words."""
    return json_text(gap_error_fields(gap) | channel_fields(gap, is_told=channels > 1))


def _whole(seconds: float) -> float | int:
    """Return whole seconds as an integer, as clients of the original server expect them."""
    return int(seconds) if seconds == int(seconds) else seconds
