"""Messages survive the pipe, and what is not one is a violation."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt import transcript
from gigastt.errors import ProtocolViolation
from gigastt.ipc.messages import (
    Audio,
    Closed,
    FinalMessage,
    Finish,
    OpenStream,
    PassRecord,
    Progress,
    Stats,
    StreamId,
    ToGateway,
    ToWorker,
)
from gigastt.ipc.packets import decode_to_gateway, decode_to_worker, encode_message
from gigastt.transcript import Options, Word
from tests.properties import tries

_SIZES = st.integers(0, 2**63 - 1)
_FLOATS = st.floats(allow_nan=False, allow_infinity=False)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)  # msgpack text is UTF-8: no lone surrogates

_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    int: _SIZES,
    float: _FLOATS,
    str: _TEXTS,
    bytes: st.binary(max_size=50),
    bool: st.booleans(),
    StreamId: _SIZES,
}


def any_of(cls: Any) -> st.SearchStrategy[Any]:
    """Make values of a message's class by its annotations."""
    return st.builds(cls, **{name: _field(hint) for name, hint in get_type_hints(cls).items()})


def _field(hint: Any) -> st.SearchStrategy[Any]:
    if hint in _PLAIN:
        return _PLAIN[hint]
    if get_origin(hint) is list:
        return st.lists(any_of(get_args(hint)[0]), max_size=5)
    if get_origin(hint) is tuple:
        return st.lists(any_of(get_args(hint)[0]), max_size=5).map(tuple)
    return st.sampled_from(get_args(hint)) if get_origin(hint) is Literal else any_of(hint)


to_worker = st.one_of(*map(any_of, get_args(ToWorker)))
to_gateway = st.one_of(*map(any_of, get_args(ToGateway)))


@given(message=to_worker)
def test_messages_to_the_worker_survive(message: ToWorker) -> None:
    assert decode_to_worker(encode_message(message)) == message


@given(message=to_gateway)
def test_messages_to_the_gateway_survive(message: ToGateway) -> None:
    assert decode_to_gateway(encode_message(message)) == message


@given(message=to_gateway)
def test_a_message_that_goes_the_wrong_way_is_a_violation(message: ToGateway) -> None:
    with pytest.raises(ProtocolViolation, match="wrong side"):
        decode_to_worker(encode_message(message))


def test_a_message_to_the_worker_is_not_taken_by_the_gateway() -> None:
    with pytest.raises(ProtocolViolation, match="Finish came from the wrong side"):
        decode_to_gateway(encode_message(Finish(StreamId(1))))


@given(body=st.binary(max_size=200))
def test_bytes_are_a_message_or_a_violation(body: bytes) -> None:
    for decode in (decode_to_worker, decode_to_gateway):
        try:
            decode(body)
        except ProtocolViolation:
            continue


_scalars = st.one_of(st.none(), st.booleans(), _SIZES, _FLOATS, _TEXTS, st.binary(max_size=9))
_rows = st.lists(st.one_of(_scalars, st.lists(_scalars, max_size=5)), max_size=3)  # words and passes are lists of lists
_values = st.one_of(_scalars, _rows)


@given(kind=st.integers(-1, 13), values=st.lists(_values, max_size=10))
@tries(300)
def test_arrays_of_anything_are_a_message_or_a_violation(kind: int, values: list[Any]) -> None:
    body = msgpack.packb([kind, *values])
    for decode in (decode_to_worker, decode_to_gateway):
        try:
            message: Any = decode(body)
        except ProtocolViolation:
            continue
        assert len(fields(message)) == len(values)


@pytest.mark.parametrize(
    ("message", "field", "value"),
    [
        (Audio(StreamId(1), b""), "pcm", "text"),
        (Audio(StreamId(1), b""), "stream", True),
        (Audio(StreamId(1), b""), "stream", 1.5),
        (Progress(StreamId(1), 0, 0, b""), "consumed", None),
        (OpenStream(StreamId(1), 0, b"", Options(), ""), "start", "0"),
        (Closed(StreamId(1)), "stream", b"1"),
    ],
)
def test_a_field_of_the_wrong_type_is_a_violation(message: Any, field: str, value: object) -> None:
    decode = decode_to_worker if isinstance(message, get_args(ToWorker)) else decode_to_gateway

    with pytest.raises(ProtocolViolation, match=field):
        decode(encode_message(replace(message, **{field: value})))


@pytest.mark.parametrize("words", [None, 1, [1], [["слово", 0.0, 0.1]], [[1, 0.0, 0.1, 0.9]]])
def test_words_of_the_wrong_form_are_a_violation(words: object) -> None:
    final = transcript.Final("", (), 0.0, 0.0, 0.0, "stop")
    body = msgpack.unpackb(encode_message(FinalMessage(StreamId(1), final, 0, 0, b"")))
    body[2][1] = words

    with pytest.raises(ProtocolViolation):
        decode_to_gateway(msgpack.packb(body))


def test_whole_numbers_pass_as_seconds() -> None:
    word = Word("да", 0, 1, 1)
    stats = Stats(1, 0, 0, [PassRecord("final", 1, 0, 1, 0)])

    assert decode_to_gateway(encode_message(stats)) == stats
    final = FinalMessage(StreamId(1), transcript.Final("да", (word,), 0, 1, 1, "stop"), 0, 0, b"")
    assert decode_to_gateway(encode_message(final)) == final
