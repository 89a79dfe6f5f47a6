"""Frames of the Wyoming protocol: a byte stream is cut into events and samples, and events become bytes.

    {"type": "audio-chunk", "data_length": 40, "payload_length": 640}\n    header, one line of JSON
    {"rate": 16000, "width": 2, "channels": 1}                            data, so many bytes of JSON
    samples                                                               payload, so many bytes

Pure. Samples come out as 16-bit mono, whatever a client sends. A chunk that is like the one before it gives samples and
no event, so that they can go to the session as they are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from gigastt import __version__
from gigastt.gateway.api.client_messages import is_whole, parse
from gigastt.gateway.api.dialect import Message
from gigastt.gateway.api.tcp import BrokenStream

MOST_LINE_BYTES: Final = 64 * 1024
MOST_DATA_BYTES: Final = 256 * 1024  # names that a client wants to be heard may be many
WIDTHS: Final = (1, 4)  # bytes of a sample, the least and the most
CHANNEL_RANGE: Final = (1, 64)

_AUDIO = "audio-chunk"


@dataclass(frozen=True, slots=True)
class WyomingEvent:
    """One event without its payload."""

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)


def message_of(event: WyomingEvent) -> str:
    """Return an event as a message."""
    return f"{event.kind}\n{json.dumps(event.fields, ensure_ascii=False)}"


def event_of(message: str) -> WyomingEvent:
    """Return a message as the event that it is."""
    kind, _, data = message.partition("\n")
    return WyomingEvent(kind, json.loads(data))


class WyomingFrames:
    """The bytes of one client.

    Args:
        most_bytes: longest message with samples.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_piece_bytes = max(1, most_bytes // 2)  # 8-bit samples become twice as long
        self._buffer = b""
        self._header: dict[str, Any] | None = None  # of an event whose data have not come
        self._line: bytes | None = None  # the last header,
        self._parsed: dict[str, Any] = {}  # and what it says
        self._payload_left = 0
        self._mono = MonoPcm(2, 1)
        self._takes_payload = False  # it is samples that can be understood
        self._format: tuple[object, ...] | None = None  # of the last chunk that was told as an event

    def frame(self, message: Message) -> bytes:
        """Return an event as it is sent."""
        assert isinstance(message, str)
        kind, _, text = message.partition("\n")
        data = text.encode()
        header = {"type": kind, "version": __version__, "data_length": len(data)}
        return json.dumps(header).encode() + b"\n" + data

    def cut(self, data: bytes) -> Iterator[Message]:
        """Take the next bytes, cut anywhere, and yield the messages that they complete.

        Raises:
            BrokenStream: the bytes are no events.
        """
        buffer, offset = self._buffer + data if self._buffer else data, 0
        self._buffer = b""
        while offset < len(buffer):
            if self._payload_left:
                piece = buffer[offset : offset + min(self._payload_left, self._most_piece_bytes)]
                self._payload_left -= len(piece)
                offset += len(piece)
                if self._takes_payload and (samples := self._mono.push(piece)):
                    yield samples
                continue
            if self._header is None:
                end = buffer.find(b"\n", offset)
                if end < 0 and len(buffer) - offset <= MOST_LINE_BYTES:
                    break
                line, offset = buffer[offset:end], end + 1
                if line != self._line:  # that of a chunk is mostly the one before it
                    self._line, self._parsed = line, _parse_header(line)
                self._header = self._parsed
            end = offset + (self._header.get("data_length") or 0)
            if end > len(buffer):
                break
            header, self._header = self._header, None
            event = self._take_event(header, buffer[offset:end])
            offset = end
            if event is not None:
                yield message_of(event)
        self._buffer = buffer[offset:]

    def _take_event(self, header: dict[str, Any], data: bytes) -> WyomingEvent | None:
        """Return an event; None for a chunk that is like the one before it."""
        fields = {**(header.get("data") or {}), **(_parse(data) if data else {})}
        kind: str = header["type"]
        self._payload_left = header.get("payload_length") or 0
        if kind != _AUDIO:
            self._format, self._takes_payload = None, False
            return WyomingEvent(kind, fields)
        rate, width, channels = (fields.get(name) for name in ("rate", "width", "channels"))
        if (rate, width, channels) == self._format:
            return None
        self._format, self._takes_payload = (rate, width, channels), False
        if is_whole(width, WIDTHS) and is_whole(channels, CHANNEL_RANGE):
            self._mono, self._takes_payload = MonoPcm(width, channels), True
        return WyomingEvent(kind, fields)


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
        mono: bytes = np.rint(mixed).astype("<i2").tobytes()
        return mono


def _parse_header(line: bytes) -> dict[str, Any]:
    header = _parse(line) if len(line) <= MOST_LINE_BYTES else {}
    kind = header.get("type")
    if not isinstance(kind, str) or "\n" in kind or not isinstance(header.get("data") or {}, dict):
        raise BrokenStream("A header has a type, and data that are an object.")
    for name, most in (("data_length", MOST_DATA_BYTES), ("payload_length", sys.maxsize)):
        if header.get(name) is not None and not is_whole(header[name], (0, most)):
            raise BrokenStream(f"{name} is a number of bytes, at most {most}.")
    return header


def _parse(data: bytes) -> dict[str, Any]:
    try:
        fields = parse(data.decode(), most=MOST_DATA_BYTES)
    except UnicodeDecodeError:
        fields = None
    if fields is None:
        raise BrokenStream("An event is a line of JSON.")
    return fields
