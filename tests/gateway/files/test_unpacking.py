"""Unpacking: gzip and zstd in any pieces, in slices, within limits."""

from __future__ import annotations

import gzip
import itertools
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from gigastt.errors import InvalidAudio, PayloadTooLarge
from gigastt.gateway.files.unpacking import FREE_BYTES, FREE_MEMBERS, LEAST_MEMBER_BYTES, SLICE_BYTES, open_unpacker

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SPEECH = bytes(range(256)) * 40


def unpack(encoding: str, *pieces: bytes) -> bytes:
    unpacker = open_unpacker(Headers({"content-encoding": encoding}))
    assert unpacker is not None
    made = b""
    for piece in pieces:
        for slice_ in unpacker.unpack(piece):
            assert len(slice_) <= SLICE_BYTES
            made += slice_
    unpacker.finish()
    return made


def pack(encoding: str, data: bytes) -> bytes:
    packed: bytes = gzip.compress(data) if encoding == "gzip" else zstd.compress(data)
    return packed


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@given(data=st.data())
def test_any_cut_unpacks_to_the_same(encoding: str, data: Any) -> None:
    packed = pack(encoding, SPEECH)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(packed)), max_size=5)))
    edges = [0, *cuts, len(packed)]
    assert unpack(encoding, *(packed[a:b] for a, b in itertools.pairwise(edges))) == SPEECH


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_members_one_behind_the_other_are_one_body(encoding: str) -> None:
    packed = pack(encoding, SPEECH)
    assert unpack(encoding, packed + packed) == SPEECH * 2
    assert unpack(encoding, packed, packed) == SPEECH * 2


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_what_breaks_off_or_is_broken_is_refused(encoding: str) -> None:
    packed = pack(encoding, SPEECH)
    for body in (packed[:-5], packed[:3], b"RIFF" + packed, packed + b"RIFF"):
        with pytest.raises(InvalidAudio, match=f"Content-Encoding: {encoding}, and cannot be unpacked"):
            unpack(encoding, body)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_is_refused_after_little_of_it(encoding: str) -> None:
    bomb = pack(encoding, bytes(100_000_000))
    unpacker = open_unpacker(Headers({"content-encoding": encoding}))
    assert unpacker is not None
    made: list[int] = []
    with pytest.raises(PayloadTooLarge):
        made.extend(map(len, unpacker.unpack(bomb)))
    assert sum(made) <= FREE_BYTES + 100 * len(bomb)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_members_without_number_are_refused_and_others_have_their_turn_between_them(encoding: str) -> None:
    unpacker = open_unpacker(Headers({"content-encoding": encoding}))
    assert unpacker is not None
    turns: list[bytes] = []
    with pytest.raises(InvalidAudio, match="too many members"):
        turns.extend(unpacker.unpack(pack(encoding, b"") * 50_000))
    assert turns == [b""] * FREE_MEMBERS


@pytest.mark.slow
def test_a_long_body_may_have_as_many_members_as_its_blocks() -> None:
    block = bytes(range(256)) * (LEAST_MEMBER_BYTES // 256)
    assert len(unpack("gzip", pack("gzip", block) * (FREE_MEMBERS + 50))) == (FREE_MEMBERS + 50) * len(block)


def test_a_window_beyond_what_the_standard_allows_is_refused() -> None:
    options: dict[int, int] = {
        zstd.CompressionParameter.window_log: 27,
        zstd.CompressionParameter.enable_long_distance_matching: 1,
    }
    packed = zstd.compress(SPEECH * 4000, options=options)
    with pytest.raises(InvalidAudio):
        unpack("zstd", packed)


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "gzip, zstd", "x" * 100])
def test_other_encodings_are_refused_with_those_that_are_not(encoding: str) -> None:
    with pytest.raises(InvalidAudio, match="gzip and zstd are"):
        open_unpacker(Headers({"content-encoding": encoding}))


@pytest.mark.parametrize("headers", [{}, {"content-encoding": "identity"}, {"content-encoding": ""}])
def test_a_plain_body_is_left_alone(headers: dict[str, str]) -> None:
    assert open_unpacker(Headers(headers)) is None
