"""Framing: no piece reaches into the next request, whatever comes in whatever cuts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.errors import BadRequest
from gigastt.gateway.server.framing import FRAMING_PER_BODY_BYTE, MAX_FRAMING_BYTES, PIECE_BYTES, Framing, body_length

LINES = st.lists(
    st.binary(max_size=30).filter(lambda line: b"\r" not in line and b"\n" not in line and line), min_size=1
)
HEADS = LINES.map(lambda lines: b"\r\n".join(lines) + b"\r\n\r\n")


@given(
    st.lists(st.tuples(HEADS, st.binary(max_size=50)), min_size=1, max_size=5), st.lists(st.integers(1, 40), min_size=1)
)
def test_every_head_and_body_ends_with_a_piece(messages: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    stream = b"".join(head + body for head, body in messages)
    ends, at = set(), 0
    for head, body in messages:
        ends |= {at + len(head), at + len(head) + len(body)}
        at += len(head) + len(body)
    framing, seen, start, number = Framing(), set(), 0, 0
    expected = iter(messages)
    in_head, fed = True, 0
    head, body = next(expected)
    while start < len(stream):
        data = stream[start : start + cuts[number % len(cuts)]]
        number += 1
        offset = 0
        while offset < len(data):
            end = framing.next_piece(data, offset)
            assert offset < end <= min(len(data), offset + PIECE_BYTES)
            fed += end - offset
            seen.add(start + end)
            offset = end
            if in_head and fed == len(head):
                framing.begin_body(len(body))
                in_head, fed = False, 0
            if not in_head and fed == len(body):
                framing.end_message()
                in_head, fed = True, 0
                head, body = next(expected, (b"", b""))
        start += len(data)
    assert ends <= seen


def test_framing_is_paid_for_by_the_body() -> None:
    framing = Framing()
    framing.begin_body(None)
    framing.pay(MAX_FRAMING_BYTES, 0)
    framing.pay(1 + FRAMING_PER_BODY_BYTE, 1)
    with pytest.raises(BadRequest):
        framing.pay(1, 0)


@pytest.mark.parametrize(
    ("headers", "version", "length"),
    [
        ([], "1.1", 0),
        ([(b"content-length", b"12")], "1.0", 12),
        ([(b"transfer-encoding", b"Chunked")], "1.1", None),
        ([(b"transfer-encoding", b"chunked")], "1.0", "refused"),
        ([(b"transfer-encoding", b"gzip, chunked")], "1.1", "refused"),
        ([], "0.9", "refused"),
    ],
)
def test_the_length_of_a_body(headers: list[tuple[bytes, bytes]], version: str, length: int | str | None) -> None:
    if length == "refused":
        with pytest.raises(BadRequest):
            body_length(headers, version)
    else:
        assert body_length(headers, version) == length
