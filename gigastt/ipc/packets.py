"""Packets: how messages are framed on the pipe between the gateway and a worker.

    ┌──────────────────────┬──────────────────────┐
    │ u32 little-endian: n │ n bytes of msgpack   │
    └──────────────────────┴──────────────────────┘

A core without I/O: bytes go in, bodies come out, whatever the pieces. Each reader of a pipe
has a decoder; `messages` says what a body means.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from gigastt.errors import ProtocolViolation

MAX_PACKET_BYTES = 4 * 1024 * 1024
_HEADER = struct.Struct("<I")


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
