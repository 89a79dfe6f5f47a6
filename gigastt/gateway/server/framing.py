"""Framing: what a request is about, where it ends, and how far its parser may be fed. Proxies must see it so, too.

    head … CRLF CRLF │ body of so many bytes │ head … CRLF CRLF │ chunks … 0 CRLF CRLF │ head …
    ────── pieces ──→│←─────── piece ───────→│

A head ends with an empty line, and so does a body in chunks. Pieces that end behind every empty line therefore never
reach into the next request. A core without I/O.
"""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass
from typing import Final

import httptools

from gigastt.errors import BadRequest

PIECE_BYTES: Final = 4 * 1024  # of a head or of chunks at once: up to 700 chunks, a millisecond
MAX_PIECE_BYTES: Final = 32 * 1024  # of chunks that have been large so far
MAX_FRAMING_BYTES: Final = 64 * 1024  # of chunk sizes, extensions and trailers, besides what the body allows
FRAMING_PER_BODY_BYTE: Final = 16  # allowed; a byte in a chunk of its own takes 5

_END: Final = b"\r\n\r\n"


class Framing:
    """The requests of one connection, one after the other.

    Attributes:
        body_bytes: of all bodies so far.
    """

    __slots__ = ("_body_left", "_piece", "_room", "_tail", "body_bytes")

    def __init__(self) -> None:
        self.body_bytes = 0
        self._tail = b""  # the last bytes that were fed, in which an end may have begun
        self._body_left: int | None = None  # of a body with a length
        self._room = 0
        self._piece = PIECE_BYTES

    @property
    def by_length(self) -> bool:
        """Whether a body with a length is being received."""
        return self._body_left is not None

    def begin_body(self, length: int | None) -> None:
        """Expect so many bytes; None: chunks."""
        self._body_left = length
        self._room = MAX_FRAMING_BYTES

    def end_message(self) -> None:
        """Expect a head."""
        self._tail = b""
        self._body_left = None
        self._piece = PIECE_BYTES

    def next_piece(self, data: bytes, offset: int) -> int:
        """Return where the next piece ends that begins at `offset`, and count it as fed."""
        if self._body_left is not None:
            end = min(len(data), offset + self._body_left)
            self._body_left -= end - offset
            return end
        if self._tail:
            found = (self._tail + data[offset : offset + 3]).find(_END)
            if found >= 0:
                end = offset + found + len(_END) - len(self._tail)
                self._tail = b""
                return end
        end = min(len(data), offset + self._piece)
        found = data.find(_END, offset, end)
        if found >= 0:
            self._tail = b""
            return found + len(_END)
        self._tail = (self._tail + data[max(offset, end - 3) : end])[-3:]
        return end

    def pay(self, count: int, body: int) -> None:
        """Count a piece of chunks, `body` bytes of which were body.

        Raises:
            BadRequest: nearly all of the body so far is framing.
        """
        framing = count - body
        self._room = min(MAX_FRAMING_BYTES, self._room + FRAMING_PER_BODY_BYTE * body) - framing
        self._piece = min(MAX_PIECE_BYTES, 2 * self._piece) if 64 * framing < count else PIECE_BYTES
        if self._room < 0:
            raise BadRequest("The chunks of the body are too small for what is around them.")


def body_length(headers: list[tuple[bytes, bytes]], version: str) -> int | None:
    """Return the length of a body in bytes; None if it is in chunks.

    Raises:
        BadRequest: a proxy could see its end elsewhere. (llhttp itself refuses contradicting and malformed lengths.)
    """
    if version not in ("1.0", "1.1"):
        raise BadRequest("This server speaks HTTP/1.1.")
    length = 0
    for name, value in headers:
        if name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            if version != "1.1" or value.lower() != b"chunked":
                raise BadRequest("The only transfer coding of a request is: chunked.")
            return None
    return length


@dataclass(frozen=True, slots=True)
class Target:
    """The address of a request."""

    path: str
    raw_path: bytes
    query: bytes


def request_target(url: bytes, headers: list[tuple[bytes, bytes]]) -> Target:
    """Read the target of a request line: an absolute path, a whole URL of the host that `Host` names, or `*`.

    Raises:
        BadRequest: it is something else.
    """
    if url == b"*":
        return Target("*", url, b"")
    try:
        parts = httptools.parse_url(url)
        raw_path = parts.path or b"/"
        path = raw_path.decode("ascii")
    except (httptools.HttpParserError, UnicodeDecodeError) as exc:
        raise BadRequest("The target of the request is not an address.") from exc
    if not url.startswith(b"/"):
        authority = url.partition(b"://")[2].partition(b"/")[0].partition(b"?")[0].lower()
        hosts = [value.lower() for name, value in headers if name == b"host"]
        if not url.lower().startswith((b"http://", b"https://")) or hosts != [authority]:
            raise BadRequest("The target of the request and its Host header differ.")
    if b"#" in url:
        raise BadRequest("The target of a request has no fragment.")
    return Target(urllib.parse.unquote(path) if "%" in path else path, raw_path, parts.query or b"")
