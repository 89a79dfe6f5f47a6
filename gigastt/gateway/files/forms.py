"""Forms: the first file of a multipart/form-data body and the fields beside it, parsed while the body comes.

The file's bytes go straight on to whoever keeps them; only the fields are held here. RFC 7578, by python-multipart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers

from gigastt.errors import InvalidParameter

MOST_PARTS: Final = 1_000
MOST_FIELD_BYTES: Final = 2 * 1024 * 1024  # of all fields together; some are recordings of speakers
FILE_FIELD: Final = "file"  # a part of this name is the file even if it comes without a file name

FormFields = tuple[tuple[str, str], ...]  # names and values in the order in which they came; a name may come again


class UploadForm:
    """One body.

    Args:
        keep: is given the file's bytes; what it raises leaves `feed` as it is.
    """

    def __init__(self, boundary: bytes, keep: Callable[[bytes], None]) -> None:
        self._keep = keep
        self._fields: list[tuple[str, str]] = []
        self._field_bytes = 0
        self._parts = 0
        self._has_file = False
        self._name = ""
        self._value: bytearray | None = None  # of the field that is being read; None in a file
        self._kept = False  # whether the part that is being read is the file
        self._header = (bytearray(), bytearray())
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._begin_data,
                    "on_part_data": lambda data, start, end: self._take(data[start:end]),
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as exc:
            raise InvalidParameter("The boundary of the form is too long.") from exc

    def feed(self, piece: bytes) -> None:
        """Parse the next bytes.

        Raises:
            InvalidParameter: this is no form, or one with more in its fields than the limits allow.
        """
        try:
            self._parser.write(piece)
        except FormParserError as exc:
            raise InvalidParameter("The body is no well-formed form (multipart/form-data).") from exc

    def finish(self) -> FormFields:
        """Return the fields, once the whole body has been fed.

        Raises:
            InvalidParameter: the form breaks off, or has no file.
        """
        if not self._ended:
            raise InvalidParameter("The form (multipart/form-data) breaks off before its last boundary.")
        if not self._has_file:
            raise InvalidParameter("The form has no file: send the audio in a part with a file name.", param=FILE_FIELD)
        return tuple(self._fields)

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise InvalidParameter(f"The form has over {MOST_PARTS} parts.")
        self._name, self._value, self._kept = "", bytearray(), False

    def _end_header(self) -> None:
        name, value = (bytes(part) for part in self._header)
        self._header[0].clear()
        self._header[1].clear()
        if name.lower() != b"content-disposition":
            return
        _, options = parse_options_header(value)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" in options or self._name == FILE_FIELD:
            self._value = None
            self._kept = not self._has_file
            self._has_file = True

    def _begin_data(self) -> None:
        if self._value is not None:
            self._count(len(self._name))

    def _take(self, data: bytes) -> None:
        if self._kept:
            self._keep(data)
        elif self._value is not None:
            self._count(len(data))
            self._value += data

    def _end_part(self) -> None:
        if self._value is None:
            return
        try:
            self._fields.append((self._name, self._value.decode("utf-8")))
        except UnicodeDecodeError as exc:
            raise InvalidParameter(f"The field {self._name[:100]!a} is not UTF-8.") from exc

    def _end(self) -> None:
        self._ended = True

    def _count(self, count: int) -> None:
        self._field_bytes += count
        if self._field_bytes > MOST_FIELD_BYTES:
            raise InvalidParameter(f"The fields of the form are over {MOST_FIELD_BYTES} bytes.")


def form_boundary(headers: Headers) -> bytes | None:
    """Return the boundary that `Content-Type` announces; None where it announces no form."""
    kind, options = parse_options_header(headers.get("content-type"))
    return options.get(b"boundary") or None if kind == b"multipart/form-data" else None


def may_begin_form(beginning: bytes) -> bool:
    """Tell whether a body's first bytes, at least one, can be a boundary or the line before it."""
    return beginning.startswith((b"-", b"\r", b"\n"))
