"""Frames of the Wyoming protocol: cut anywhere they say the same, and what is no frame is known as such."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.gateway.api.tcp import BrokenStream
from gigastt.gateway.api.wyoming_frames import (
    MOST_DATA_BYTES,
    MOST_LINE_BYTES,
    MonoPcm,
    WyomingEvent,
    WyomingFrames,
    event_of,
    message_of,
)

FORMAT = {"rate": 16_000, "width": 2, "channels": 1}


def event(kind: str, **fields: Any) -> bytes:
    """Return an event as the server sends it, which is as clients do."""
    return WyomingFrames(1).frame(message_of(WyomingEvent(kind, fields)))


def chunk(samples: bytes, **fields: Any) -> bytes:
    """Return a chunk as clients write them."""
    data = json.dumps({**FORMAT, "timestamp": None, **fields}).encode()
    header = {"type": "audio-chunk", "version": "1", "data_length": len(data), "payload_length": len(samples)}
    return json.dumps(header).encode() + b"\n" + data + samples


def read(stream: bytes, cuts: list[int], most: int = 1 << 20) -> list[tuple[str, Any]]:
    """Return the events of a stream that comes in pieces, and the samples between them."""
    frames, told = WyomingFrames(most), list[tuple[str, Any]]()
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for begin, end in pairwise(edges):
        for message in frames.cut(stream[begin:end]):
            if isinstance(message, bytes):
                assert 0 < len(message) <= most
                before = told.pop()[1] if told and told[-1][0] == "samples" else b""
                told.append(("samples", before + message))
            else:
                told.append((event_of(message).kind, event_of(message).fields))
    return told


@given(st.lists(st.integers(0, 10_000), max_size=40), st.integers(2, 4096))
def test_a_stream_may_be_cut_anywhere(cuts: list[int], most: int) -> None:
    samples = bytes(range(256)) * 3
    stream = (
        event("transcribe", language="ru", name="имя\n")
        + event("audio-start", **FORMAT)
        + chunk(samples)
        + chunk(samples, timestamp=7)
        + event("audio-stop")
        + event("describe")
    )
    kinds = read(stream, cuts, most)
    assert [kind for kind, _ in kinds] == [
        "transcribe", "audio-start", "audio-chunk", "samples", "audio-stop", "describe",
    ]  # fmt: skip
    assert kinds[0][1] == {"language": "ru", "name": "имя\n"}
    assert kinds[3][1] == 2 * samples


def test_a_chunk_like_the_one_before_is_samples_only() -> None:
    frames = WyomingFrames(1 << 20)
    first = list(frames.cut(chunk(b"\1\0")))
    assert [type(message) for message in first] == [str, bytes]
    assert list(frames.cut(chunk(b"\2\0", timestamp=20))) == [b"\2\0"]
    assert len(list(frames.cut(chunk(b"\3\0", rate=8_000)))) == 2
    assert len(list(frames.cut(event("audio-stop")))) == 1
    assert len(list(frames.cut(chunk(b"\4\0", rate=8_000)))) == 2, "audio of another session begins with its format"


def test_data_may_stand_in_the_header() -> None:
    assert read(b'{"type": "ping", "data": {"text": "x"}}\n', []) == [("ping", {"text": "x"})]
    assert read(b'{"type": "ping", "data": null, "data_length": null}\n', []) == [("ping", {})]


def test_payloads_of_other_events_are_not_heard() -> None:
    assert read(b'{"type": "tts", "payload_length": 4}\nabcd{"type": "ping"}\n', []) == [("tts", {}), ("ping", {})]


@pytest.mark.parametrize(
    "broken",
    [
        b"\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"[]\n",
        b'{"data_length": 0}\n',
        b'{"type": 1}\n',
        b'{"type": "ping", "data": 3}\n',
        b'{"type": "ping", "data_length": -1}\n',
        b'{"type": "ping", "data_length": true}\n',
        b'{"type": "ping", "data_length": 1e3}\n',
        b'{"type": "ping", "payload_length": -1}\n',
        b'{"type": "ping", "data_length": %d}\n' % (MOST_DATA_BYTES + 1),
        b'{"type": "ping", "data_length": 4}\n1234',
        b'{"type": "ping", "data_length": 1}\n\xff',
        b"x" * (MOST_LINE_BYTES + 1),
        b"[" * MOST_LINE_BYTES + b"\n",
    ],
)
def test_what_is_no_frame_breaks_the_stream_after_what_came_before(broken: bytes) -> None:
    messages = WyomingFrames(1 << 20).cut(b'{"type": "ping"}\n' + broken)
    assert next(messages) == "ping\n{}"
    with pytest.raises(BrokenStream):
        list(messages)


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=5))
def test_any_bytes_are_survived(stream: bytes, cuts: list[int]) -> None:
    with suppress(BrokenStream):
        read(stream, cuts, 64)


@pytest.mark.parametrize(("width", "kind"), [(1, "<u1"), (2, "<i2"), (4, "<i4")])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_samples_become_16_bit_of_one_channel(width: int, kind: str, channels: int) -> None:
    wave = np.rint(20_000 * np.sin(np.arange(300) / 7)).astype(np.int32)
    scaled = (wave >> 8) + 128 if width == 1 else wave << (8 * (width - 2))
    raw = np.repeat(scaled.astype(kind), channels).tobytes()
    mono, heard = MonoPcm(width, channels), b""
    for begin in range(0, len(raw), 7):
        heard += mono.push(raw[begin : begin + 7])
    expected = (wave >> 8) << 8 if width == 1 else wave
    assert np.array_equal(np.frombuffer(heard, "<i2"), expected)


def test_24_bit_samples_keep_their_highest_bits() -> None:
    assert MonoPcm(3, 1).push(b"\xff\x01\x80" + b"\x00\xff\x7f") == b"\x01\x80\xff\x7f"


def test_channels_are_averaged() -> None:
    assert np.frombuffer(MonoPcm(2, 2).push(np.array([100, 300, -5, -7], "<i2").tobytes()), "<i2").tolist() == [200, -6]
