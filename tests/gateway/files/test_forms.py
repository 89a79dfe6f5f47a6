"""Forms: whatever the cuts, the first file goes on and the fields are kept; broken and oversized ones are refused."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from gigastt.errors import InvalidParameter
from gigastt.gateway.files.forms import MOST_FIELD_BYTES, MOST_PARTS, FormFields, UploadForm, form_boundary

FILE = b"RIFF\r\n--bound\0\r\n\r\n--"  # nearly a boundary


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
    return b"--bou\r\nContent-Disposition: " + disposition.encode() + b"\r\n\r\n" + value + b"\r\n"


BODY = part("model", b"whisper-1") + part("file", FILE, "a.wav") + part("include[]", "да".encode()) + b"--bou--\r\n"


def parse(*pieces: bytes) -> tuple[bytes, FormFields]:
    kept = bytearray()
    form = UploadForm(b"bou", kept.extend)
    for piece in pieces:
        form.feed(piece)
    return bytes(kept), form.finish()


@given(st.lists(st.integers(0, len(BODY)), max_size=8).map(sorted))
def test_any_cut_of_the_body_gives_the_same(cuts: list[int]) -> None:
    edges = [0, *cuts, len(BODY)]
    pieces = [BODY[a:b] for a, b in itertools.pairwise(edges)]
    assert parse(*pieces) == (FILE, (("model", "whisper-1"), ("include[]", "да")))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_form_or_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidParameter):
        parse(b"--bou\r\n" + body)


def test_the_first_file_is_taken_and_the_others_are_left() -> None:
    files = part("upload", b"one", "a.wav") + part("file", b"two", "b.wav") + part("file", b"three")
    assert parse(files + b"--bou--") == (b"one", ())


def test_a_part_called_file_is_the_file_without_a_file_name() -> None:
    assert parse(part("file", b"one") + b"--bou--") == (b"one", ())


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"--bou\r\n", "breaks off"),
        (part("file", b"one", "a.wav"), "breaks off"),
        (part("model", b"x") + b"--bou--", "has no file"),
        (b"--other\r\n", "no well-formed form"),
        (part("x", b"\xff") + part("file", b"1", "a") + b"--bou--", "is not UTF-8"),
        (part("x", b"1" * (MOST_FIELD_BYTES + 1)), "over 2097152 bytes"),
        (part("x", b"") * (MOST_PARTS + 1), "over 1000 parts"),
        (b"--bou\r\nX: " + b"y" * 10_000, "no well-formed form"),
    ],
)
def test_a_wrong_form_is_refused_with_what_is_wrong(body: bytes, says: str) -> None:
    with pytest.raises(InvalidParameter, match=says):
        parse(body)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ('multipart/form-data; boundary="a b"', b"a b"),
        ("Multipart/Form-Data; charset=utf-8; boundary=x", b"x"),
        ("multipart/form-data", None),
        ("multipart/form-data; boundary=", None),
        ("multipart/mixed; boundary=x", None),
        ("audio/wav", None),
    ],
)
def test_the_boundary_is_read_from_the_type(content_type: str, boundary: bytes | None) -> None:
    assert form_boundary(Headers({"content-type": content_type})) == boundary


def test_a_boundary_of_any_length_is_refused_or_taken() -> None:
    with pytest.raises(InvalidParameter, match="boundary"):
        UploadForm(b"x" * 1000, bytearray().extend)
