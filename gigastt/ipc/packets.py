"""Packets: how messages cross the pipe between the gateway and a worker.

    ┌──────────────────────┬──────────────────────┐
    │ u32 little-endian: n │ n bytes of msgpack   │
    └──────────────────────┴──────────────────────┘

A body is the msgpack array `[kind, field, …]` in the order of the message's fields. Decoding names the side that reads,
so a message that goes the wrong way fails. A core without I/O: bytes go in, bodies come out, whatever the pieces. Each
reader of a pipe has a decoder.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_type_hints

import msgpack

from gigastt import transcript
from gigastt.errors import ProtocolViolation
from gigastt.ipc.messages import Excerpt, PassRecord, ToGateway, ToWorker

MAX_PACKET_BYTES = 4 * 1024 * 1024
_HEADER = struct.Struct("<I")
_TO_WORKER: tuple[type, ...] = get_args(ToWorker)
_TO_GATEWAY: tuple[type, ...] = get_args(ToGateway)
_CLASSES: dict[int, type] = dict(enumerate(_TO_WORKER + _TO_GATEWAY))
_KINDS: dict[type, int] = {kind: number for number, kind in _CLASSES.items()}
_NESTED: dict[str, type] = {
    "options": transcript.Options,
    "hotwords": transcript.Hotword,
    "partial": transcript.Partial,
    "final": transcript.Final,
    "excerpt": Excerpt,
    "gap": transcript.Gap,
    "words": transcript.Word,
    "dropped": transcript.Word,
    "voices": transcript.Voice,
    "alternatives": transcript.Alternative,
    "passes": PassRecord,
}


def encode_packet(body: bytes) -> bytes:
    """Prefix a body with its length.

    Raises:
        ProtocolViolation: the body is over 4 MiB.
    """
    if len(body) > MAX_PACKET_BYTES:
        raise ProtocolViolation(f"Expected a packet of at most {MAX_PACKET_BYTES} bytes, but got {len(body)}.")
    return _HEADER.pack(len(body)) + body


class PacketDecoder:
    """Cut a byte stream into packet bodies."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, piece: bytes | bytearray | memoryview) -> Iterator[bytes]:
        """Take the next bytes and yield every body they complete.

        Raises:
            ProtocolViolation: a header announces more than 4 MiB; the stream is unusable from there.
        """
        pending = self._pending
        pending += piece
        at = 0
        try:
            while len(pending) - at >= _HEADER.size:
                (length,) = _HEADER.unpack_from(pending, at)
                if length > MAX_PACKET_BYTES:
                    raise ProtocolViolation(
                        f"Expected a packet of at most {MAX_PACKET_BYTES} bytes, but its header says {length}."
                    )
                end = at + _HEADER.size + length
                if len(pending) < end:
                    return
                body = bytes(pending[at + _HEADER.size : end])
                at = end
                yield body
        finally:
            del pending[:at]


def encode_message(message: ToWorker | ToGateway) -> bytes:
    """Encode one message as a packet body."""
    encoded: bytes = msgpack.packb([_KINDS[type(message)], *_values(message)], default=_values)
    return encoded


def decode_to_worker(body: bytes) -> ToWorker:
    """Decode what the gateway sent.

    Raises:
        ProtocolViolation: not msgpack, not a message to a worker, or a field of the wrong type.
    """
    message: ToWorker = _decode(body, _TO_WORKER)
    return message


def decode_to_gateway(body: bytes) -> ToGateway:
    """Decode what a worker sent.

    Raises:
        ProtocolViolation: not msgpack, not a message to the gateway, or a field of the wrong type.
    """
    message: ToGateway = _decode(body, _TO_GATEWAY)
    return message


def _values(item: Any) -> list[Any]:
    """Return the fields of a message, or of what lies in one."""
    return [getattr(item, name) for name in item.__slots__]


def _decode(body: bytes, allowed: tuple[type, ...]) -> Any:
    try:
        kind, *values = msgpack.unpackb(body)
        message = _CLASSES[kind]
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as exc:
        raise ProtocolViolation("Expected a msgpack array that begins with a known kind.") from exc
    if message not in allowed:
        raise ProtocolViolation(f"{message.__name__} came from the wrong side of the pipe.")
    return _build(message, values)


def _build(cls: type, values: list[Any]) -> Any:
    fields = _FIELDS[cls]
    if not isinstance(values, list) or len(values) != len(fields):
        raise ProtocolViolation(f"Expected {len(fields)} fields in {cls.__name__}.")
    as_ever = list(map(type, values)) == _USUAL[cls]  # nearly always; hundreds of times a second
    for index, name, accepted in _DEEP[cls] if as_ever else fields:
        values[index] = _build_field(cls, name, accepted, values[index])
    return cls(*values)


def _build_field(cls: type, name: str, accepted: Any, value: Any) -> Any:
    nested = _NESTED.get(name)
    if accepted in (list, tuple):
        if not isinstance(value, list) or not (nested or all(type(item) is int for item in value)):
            raise ProtocolViolation(f"Expected a list in {cls.__name__}.{name}.")
        return accepted([_build(nested, item) for item in value]) if nested else accepted(value)
    if nested:
        return _build(nested, value)
    if not isinstance(value, accepted) or isinstance(value, bool) is not (accepted is bool):
        raise ProtocolViolation(f"Expected {accepted} in {cls.__name__}.{name}, but got {type(value).__name__}.")
    return value


def _accepted(hint: Any) -> Any:
    """The runtime type that a field's annotation admits; a float field takes an int too."""
    if hint is float:
        return (float, int)
    if getattr(hint, "__supertype__", None) is not None:  # NewType
        return hint.__supertype__
    origin = getattr(hint, "__origin__", None)
    if origin is Literal:
        return str
    return origin or hint


# Of each class, where a field stands among its values, its name, and what it admits.
_FIELDS: dict[type, list[tuple[int, str, Any]]] = {
    cls: [(index, name, _accepted(hint)) for index, (name, hint) in enumerate(get_type_hints(cls).items())]
    for cls in (*_TO_WORKER, *_TO_GATEWAY, *_NESTED.values())
}
# Those of them that are looked into even where the values have the types that they nearly always have, `_USUAL`.
_DEEP = {
    cls: [field for field in fields if field[1] in _NESTED or field[2] in (list, tuple)]
    for cls, fields in _FIELDS.items()
}
_USUAL: dict[type, list[type]] = {
    cls: [list if field in _DEEP[cls] else field[2][0] if isinstance(field[2], tuple) else field[2] for field in fields]
    for cls, fields in _FIELDS.items()
}
