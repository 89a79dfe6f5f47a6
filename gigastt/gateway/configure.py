"""Configure: what a client may choose before its first audio, checked field by field.

Pure. A field that is absent or null leaves things as they were; a field that is wrong is reported under its code
and changes nothing, while the others take effect. Fields that are not known are ignored, as `diarization` is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

from gigastt.audio.pcm import ENCODINGS, Encoding
from gigastt.audio.resample import SUPPORTED_RATES

PROTOCOL_VERSION = "1.0"
DEFAULT_RATE = 48_000
ENDPOINT_SILENCE_MS = (200, 5_000)
CHANNELS = (1, 2)


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """What the client sends and what it wants to see."""

    sample_rate: int = DEFAULT_RATE
    encoding: Encoding = "pcm_s16le"
    channels: int = 1
    endpoint_silence_ms: int = 600
    partials: bool = True


@dataclass(frozen=True, slots=True)
class Complaint:
    """A field that was wrong."""

    code: str
    message: str


def supports_version(fields: Mapping[str, Any]) -> bool:
    """Whether the protocol version a client asks for is ours; asking for none is fine."""
    return fields.get("protocol_version") in (None, PROTOCOL_VERSION)


def apply(options: ClientOptions, fields: Mapping[str, Any]) -> tuple[ClientOptions, list[Complaint]]:
    """Return the options with the fields of one `configure` message, and what was wrong with it."""
    complaints: list[Complaint] = []

    rate = fields.get("sample_rate")
    if _is_int(rate) and rate in SUPPORTED_RATES:
        options = replace(options, sample_rate=rate)
    elif rate is not None:
        rates = ", ".join(map(str, SUPPORTED_RATES))
        complaints.append(Complaint("invalid_sample_rate", f"sample_rate must be one of {rates}."))

    encoding = fields.get("encoding")
    if isinstance(encoding, str) and encoding in ENCODINGS:
        options = replace(options, encoding=encoding)
    elif encoding is not None:
        complaints.append(_invalid(f"encoding must be one of {', '.join(ENCODINGS)}."))

    channels = fields.get("channels")
    if _is_int(channels) and channels in CHANNELS:
        options = replace(options, channels=channels)
    elif channels is not None:
        complaints.append(_invalid("channels must be 1 or 2."))

    silence = fields.get("endpoint_silence_ms")
    least, most = ENDPOINT_SILENCE_MS
    if _is_int(silence) and least <= silence <= most:
        options = replace(options, endpoint_silence_ms=silence)
    elif silence is not None:
        complaints.append(_invalid(f"endpoint_silence_ms must be a whole number from {least} to {most}."))

    partials = fields.get("partials")
    if isinstance(partials, bool):
        options = replace(options, partials=partials)
    elif partials is not None:
        complaints.append(_invalid("partials must be true or false."))

    return options, complaints


def _invalid(message: str) -> Complaint:
    return Complaint("invalid_configuration", message)


def _is_int(value: object) -> TypeGuard[int]:
    """Whether a JSON value is a whole number; to Python, `true` is one too."""
    return isinstance(value, int) and not isinstance(value, bool)
