"""Wire: the JSON text of what a client of `/v1/ws` is sent.

Pure. One function for each kind of message; field names are the protocol's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gigastt.audio.pcm import ENCODINGS
from gigastt.audio.resample import SUPPORTED_RATES
from gigastt.gateway.configure import CHANNELS, DEFAULT_RATE, PROTOCOL_VERSION
from gigastt.gateway.events import FinalEvent, PartialEvent, SegmentFailedEvent, WindowFailedEvent
from gigastt.ipc.messages import WireWord

LAG_WORTH_TELLING_SECONDS = 1.0
_TEXTS = {
    "inference_error": "A stretch of audio could not be transcribed; the session goes on.",
    "segment_failed": "A stretch of audio had to be skipped; the session goes on.",
}


def ready(*, model: str, session_id: str, max_session_secs: float, idle_timeout_secs: float) -> str:
    """Return the first message of a session."""
    return _encode(
        {
            "type": "ready",
            "model": model,
            "sample_rate": DEFAULT_RATE,
            "version": PROTOCOL_VERSION,
            "supported_rates": SUPPORTED_RATES,
            "supported_encodings": ENCODINGS,
            "max_channels": max(CHANNELS),
            "diarization": False,
            "session_id": session_id,
            "max_session_secs": _whole(max_session_secs),
            "idle_timeout_secs": _whole(idle_timeout_secs),
        }
    )


def error(code: str, message: str, retry_after_ms: int | None = None) -> str:
    """Return an error message."""
    fields: dict[str, Any] = {"type": "error", "message": message, "code": code}
    if retry_after_ms is not None:
        fields["retry_after_ms"] = retry_after_ms
    return _encode(fields)


def partial(event: PartialEvent, *, timestamp: float, seq: int, lag_seconds: float, channels: int) -> str:
    """Return a partial. `seq` is the number its final will have."""
    fields = _transcript("partial", event.text, event.words, timestamp, seq)
    fields["stable"] = event.stable
    if lag_seconds > LAG_WORTH_TELLING_SECONDS:
        fields["lag_ms"] = round(lag_seconds * 1000)
    return _encode(_with_channel(fields, event.channel, channels))


def final(event: FinalEvent, *, timestamp: float, channels: int) -> str:
    """Return a final."""
    fields = _transcript("final", event.text, event.words, timestamp, event.seq)
    fields["start"] = event.start
    fields["end"] = event.end
    fields["confidence"] = event.confidence
    fields["endpoint_reason"] = event.reason
    return _encode(_with_channel(fields, event.channel, channels))


def failure(event: WindowFailedEvent | SegmentFailedEvent, *, channels: int) -> str:
    """Return the error message of a span of audio without words."""
    code = "inference_error" if isinstance(event, WindowFailedEvent) else "segment_failed"
    fields = {"type": "error", "message": _TEXTS[code], "code": code, "start": event.start, "end": event.end}
    return _encode(_with_channel(fields, event.channel, channels))


def _transcript(kind: str, text: str, words: Sequence[WireWord], timestamp: float, seq: int) -> dict[str, Any]:
    return {
        "type": kind,
        "text": text,
        "words": [_word(word) for word in words],
        "is_final": kind == "final",
        "timestamp": timestamp,
        "seq": seq,
    }


def _word(word: WireWord) -> dict[str, Any]:
    return {"word": word.text, "start": word.start, "end": word.end, "confidence": word.confidence}


def _with_channel(fields: dict[str, Any], channel: int, channels: int) -> dict[str, Any]:
    return fields | {"channel": channel} if channels > 1 else fields


def _whole(seconds: float) -> float | int:
    """Return whole seconds as an integer, as clients of the original server expect them."""
    return int(seconds) if seconds == int(seconds) else seconds


def _encode(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
