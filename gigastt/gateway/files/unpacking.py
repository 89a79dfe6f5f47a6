"""Unpacking: bodies with `Content-Encoding`, in slices short enough for the event loop and within limits against bombs.

gzip is always there; zstd with Python 3.14 or the extra `gigastt-server[zstd]`.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from starlette.datastructures import Headers

from gigastt.errors import InvalidAudio, PayloadTooLarge

SLICE_BYTES: Final = 64 * 1024  # some 0.2 ms of work
FREE_BYTES: Final = 16 * 1024 * 1024  # may come out of however little
MOST_TIMES: Final = 100  # beyond that, so much more may come out than went in; speech packs to a half
FREE_MEMBERS: Final = 1_000  # a body may have, however little is in them: each costs time, an empty one too
LEAST_MEMBER_BYTES: Final = 16 * 1024  # of what comes out, for each further member
_GZIP: Final = 16 + zlib.MAX_WBITS
_WINDOW_LOG: Final = 23  # 8 MiB, the most that RFC 9659 lets a body ask for


class Unpacker:
    """One packed body.

    Args:
        encoding: its name, for the refusal.
        start: returns a decompressor with the interface of `bz2.BZ2Decompressor`.
        failure: what that raises.
    """

    def __init__(self, encoding: str, start: Callable[[], Any], failure: type[Exception]) -> None:
        self._encoding = encoding
        self._start = start
        self._failure = failure
        self._member = start()
        self._begun = False
        self._members = 1
        self._received = 0
        self._made = 0

    def unpack(self, piece: bytes) -> Iterator[bytes]:
        """Yield what comes out of the next bytes, and nothing (empty bytes) where a member ends.

        Raises:
            InvalidAudio: they are not packed as it was said, or in far more members than audio needs.
            PayloadTooLarge: far more comes out than audio can hold.
        """
        self._received += len(piece)
        while piece or not self._member.needs_input:
            if self._member.eof:  # another member follows, as `cat a.gz b.gz` makes them
                yield b""
                self._members += 1
                if self._members > FREE_MEMBERS + self._made // LEAST_MEMBER_BYTES:
                    raise InvalidAudio(f"The body with Content-Encoding: {self._encoding} has far too many members.")
                self._member, self._begun = self._start(), False
                continue
            try:
                made = self._member.decompress(piece, SLICE_BYTES)
            except self._failure as exc:
                raise self._broken() from exc
            self._begun = True
            piece = self._member.unused_data if self._member.eof else b""
            if made:
                self._made += len(made)
                if self._made > FREE_BYTES + MOST_TIMES * self._received:
                    raise PayloadTooLarge("The packed body is far larger unpacked than audio can be.")
                yield made
            if self._member.eof and not piece:
                return

    def finish(self) -> None:
        """Check that nothing is missing.

        Raises:
            InvalidAudio: the body breaks off.
        """
        if not self._member.eof and (self._begun or not self._received):
            raise self._broken()

    def _broken(self) -> InvalidAudio:
        return InvalidAudio(f"The body says Content-Encoding: {self._encoding}, and cannot be unpacked.")


class _Gzip:
    """zlib's decompressor with the interface of those of bz2, lzma and zstd."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP)
        self._full = False

    def decompress(self, data: bytes, most: int) -> bytes:
        made = self._stream.decompress(self._stream.unconsumed_tail + data, most)
        self._full = len(made) == most  # there may be more inside, without anything left to be read
        return made

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def needs_input(self) -> bool:
        return not self._stream.eof and not self._stream.unconsumed_tail and not self._full

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data


def open_unpacker(headers: Headers) -> Unpacker | None:
    """Return what unpacks a body; None for one that is not packed.

    Raises:
        InvalidAudio: it is packed in a way that this server does not unpack.
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding in ("gzip", "x-gzip"):
        return Unpacker("gzip", _Gzip, zlib.error)
    zstd = _find_zstd() if encoding == "zstd" else None
    if zstd is None:
        known = "gzip and zstd" if _find_zstd() else "gzip"
        raise InvalidAudio(f"A body with Content-Encoding: {encoding[:20]!a} is not unpacked; {known} are.")
    options = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
    return Unpacker("zstd", lambda: zstd.ZstdDecompressor(options=options), zstd.ZstdError)


def _find_zstd() -> Any:
    """Return Python's module for zstd, or the one that stands for it before Python 3.14; None without either."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None
