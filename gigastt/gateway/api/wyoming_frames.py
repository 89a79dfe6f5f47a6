"""Frames of the Wyoming protocol: a byte stream is cut into events and samples, and events become bytes.

    {"type": "audio-chunk", "data_length": 40, "payload_length": 640}\n    header, one line of JSON
    {"rate": 16000, "width": 2, "channels": 1}                            data, so many bytes of JSON
    samples                                                               payload, so many bytes

Pure. Samples come out as 16-bit mono, whatever a client sends. A chunk that is like the one before it gives samples and
no event, so that they can go to the session as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from gigastt import __version__
from gigastt.gateway.api.client_messages import parse
from gigastt.gateway.api.dialect import Message

MOST_HEADER_BYTES: Final = 64 * 1024
MOST_DATA_BYTES: Final = 256 * 1024  # names that a client wants to be heard may be many
BROKEN: Final = ""  # stands for the first bytes that are no event; nothing comes after it
WIDTHS: Final = (1, 2, 3, 4)  # bytes of a sample
MOST_CHANNELS: Final = 64

_AUDIO = "audio-chunk"


@dataclass(frozen=True, slots=True)
class Event:
    """One event without its payload."""

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)


def encode(event: Event) -> bytes:
    """Return an event as it goes to a client."""
    data = json.dumps(event.fields, ensure_ascii=False).encode() if event.fields else b""
    header = {"type": event.kind, "version": __version__, **({"data_length": len(data)} if data else {})}
    return json.dumps(header).encode() + b"\n" + data


def decode(message: str) -> Event:
    """Return an event as `WyomingFrames` tells it."""
    kind, _, data = message.partition("\n")
    return Event(kind, json.loads(data))


class WyomingFrames:
    """The bytes of one client.

    Args:
        most_bytes: longest message with samples.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_piece_bytes = max(1, most_bytes // 2)  # 8-bit samples become twice as long
        self._buffer = b""
        self._header: dict[str, Any] | None = None  # of an event whose data have not come
        self._payload_left = 0
        self._mono = MonoPcm(2, 1)
        self._takes_payload = False  # it is samples that can be understood
        self._format: tuple[object, ...] | None = None  # of the last chunk that was told as an event
        self._broken = False

    def push(self, data: bytes) -> list[Message]:
        """Take the next bytes, cut anywhere; return the messages that they complete."""
        messages: list[Message] = []
        if self._broken:
            return messages
        buffer, offset = self._buffer + data if self._buffer else data, 0
        while offset < len(buffer) and not self._broken:
            if self._payload_left:
                piece = buffer[offset : offset + min(self._payload_left, self._most_piece_bytes)]
                self._payload_left -= len(piece)
                offset += len(piece)
                if self._takes_payload and (samples := self._mono.push(piece)):
                    messages.append(samples)
                continue
            if self._header is None:
                end = buffer.find(b"\n", offset)
                if end < 0 and len(buffer) - offset <= MOST_HEADER_BYTES:
                    break
                self._header = _parse_header(buffer[offset:end]) if 0 <= end - offset <= MOST_HEADER_BYTES else None
                if self._header is None:
                    self._broken = True
                    break
                offset = end + 1
            end = offset + (self._header.get("data_length") or 0)
            if end > len(buffer):
                break
            self._take_event(self._header, buffer[offset:end], messages)
            self._header, offset = None, end
        self._buffer = b"" if self._broken else buffer[offset:]
        if self._broken:
            messages.append(BROKEN)
        return messages

    def _take_event(self, header: dict[str, Any], data: bytes, messages: list[Message]) -> None:
        fields = header.get("data") or {}
        if data:
            told = _parse_bytes(data)
            if told is None:
                self._broken = True
                return
            fields = {**fields, **told}
        kind: str = header["type"]
        self._payload_left = header.get("payload_length") or 0
        if kind == _AUDIO:
            form = (fields.get("rate"), fields.get("width"), fields.get("channels"))
            if form == self._format:
                return
            self._format = form
            self._takes_payload = _is_understood(form[1], form[2])
            if self._takes_payload:
                self._mono = MonoPcm(int(form[1]), int(form[2]))
        else:
            self._format, self._takes_payload = None, False
        messages.append(f"{kind}\n{json.dumps(fields, ensure_ascii=False)}")


class MonoPcm:
    """Turn integer samples of any width and number of channels, cut anywhere, into 16-bit ones of one channel."""

    def __init__(self, width: int, channels: int) -> None:
        self._width = width
        self._channels = channels
        self._carried = b""

    def push(self, piece: bytes) -> bytes:
        """Take the next bytes; those that fill no sample of every channel wait for the next call."""
        if self._width == 2 and self._channels == 1:
            return piece  # its odd bytes are carried where samples are decoded
        raw, block = self._carried + piece, self._width * self._channels
        whole = len(raw) - len(raw) % block
        self._carried = raw[whole:]
        octets = np.frombuffer(raw[:whole], dtype=np.uint8).reshape(-1, self._width)
        if self._width == 1:
            samples = (octets[:, 0].astype(np.int32) - 128) << 8
        else:  # the two highest bytes
            samples = np.ascontiguousarray(octets[:, -2:]).view("<i2")[:, 0].astype(np.int32)
        mixed = samples.reshape(-1, self._channels).mean(axis=1)
        return np.rint(mixed).astype("<i2").tobytes()


def _is_understood(width: object, channels: object) -> bool:
    return width in WIDTHS and isinstance(channels, int) and 1 <= channels <= MOST_CHANNELS


def _parse_header(line: bytes) -> dict[str, Any] | None:
    """Return a header; None if it is none, or its lengths are none."""
    header = _parse_bytes(line)
    if header is None or not isinstance(header.get("type"), str) or "\n" in header["type"]:
        return None
    if not isinstance(header.get("data") or {}, dict):
        return None
    if not _is_length(header.get("data_length"), MOST_DATA_BYTES) or not _is_length(header.get("payload_length")):
        return None
    return header


def _is_length(told: object, most: int | None = None) -> bool:
    if told is None:
        return True
    return isinstance(told, int) and not isinstance(told, bool) and 0 <= told and (most is None or told <= most)


def _parse_bytes(data: bytes) -> dict[str, Any] | None:
    try:
        return parse(data.decode(), most=MOST_DATA_BYTES)
    except UnicodeDecodeError:
        return None
