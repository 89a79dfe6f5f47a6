"""Packets come out whole, whatever the pieces they arrive in."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.errors import ProtocolViolation
from gigastt.ipc.packets import MAX_PACKET_BYTES, PacketDecoder, encode_packet
from tests.fakes.cuts import cut_at, cuts


@given(bodies=st.lists(st.binary(max_size=300), max_size=10), cut=cuts)
def test_bodies_come_out_as_they_went_in_for_every_cut(bodies: list[bytes], cut: list[int]) -> None:
    decoder = PacketDecoder()
    stream = b"".join(map(encode_packet, bodies))

    assert [body for piece in cut_at(stream, cut) for body in decoder.feed(piece)] == bodies


@given(body=st.binary(min_size=1, max_size=300), missing=st.integers(1, 300))
def test_an_incomplete_packet_waits(body: bytes, missing: int) -> None:
    decoder = PacketDecoder()
    packet = encode_packet(body)
    begun = packet[: max(0, len(packet) - missing)]

    assert list(decoder.feed(begun)) == []
    assert list(decoder.feed(packet[len(begun) :])) == [body]


@given(junk=st.binary(max_size=2_000), cut=cuts)
def test_junk_gives_bodies_or_a_violation_and_nothing_else(junk: bytes, cut: list[int]) -> None:
    decoder = PacketDecoder()
    try:
        bodies = [body for piece in cut_at(junk, cut) for body in decoder.feed(piece)]
    except ProtocolViolation:
        return
    assert junk.startswith(b"".join(map(encode_packet, bodies)))


def test_the_largest_packet_passes_and_one_byte_more_does_not() -> None:
    largest = bytes(MAX_PACKET_BYTES)

    assert list(PacketDecoder().feed(encode_packet(largest))) == [largest]
    with pytest.raises(ProtocolViolation, match="at most 4194304 bytes, but got 4194305"):
        encode_packet(largest + b"\0")


def test_a_header_over_the_limit_is_refused_before_its_body_comes() -> None:
    with pytest.raises(ProtocolViolation, match="its header says 4194305"):
        list(PacketDecoder().feed(struct.pack("<I", MAX_PACKET_BYTES + 1)))


def test_packets_before_a_violation_still_come_out() -> None:
    decoder = PacketDecoder()
    bodies = decoder.feed(encode_packet(b"good") + b"\xff\xff\xff\xff")

    assert next(bodies) == b"good"
    with pytest.raises(ProtocolViolation):
        next(bodies)


def test_a_reader_that_stops_early_loses_nothing() -> None:
    decoder = PacketDecoder()
    pieces = decoder.feed(encode_packet(b"one") + encode_packet(b"two"))
    assert next(pieces) == b"one"
    pieces.close()  # type: ignore[attr-defined]

    assert list(decoder.feed(b"")) == [b"two"]
