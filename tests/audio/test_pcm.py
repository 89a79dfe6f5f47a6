"""Bytes of a client become the samples it meant, wherever its frames are cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.audio.pcm import ALAW_TABLE, ENCODINGS, MULAW_TABLE, Encoding, PcmDecoder, to_bytes, to_int16
from tests.fakes.cuts import cut_at, cuts

REST = bytes(range(8))  # completes the sample that the bytes before have begun


def test_int16_mono_comes_back_bit_for_bit() -> None:
    samples = np.arange(-32768, 32768, dtype=np.int16)

    (waveform,) = PcmDecoder("pcm_s16le").push(samples.tobytes())

    assert np.array_equal(to_int16(waveform), samples)


@given(raw=st.binary(max_size=200), cut=cuts, encoding=st.sampled_from(ENCODINGS), channels=st.sampled_from([1, 2]))
def test_result_does_not_depend_on_where_frames_are_cut(
    raw: bytes, cut: list[int], encoding: Encoding, channels: int
) -> None:
    whole, pieces = PcmDecoder(encoding, channels), PcmDecoder(encoding, channels)

    expected = whole.push(raw)
    got = [pieces.push(piece) for piece in cut_at(raw, cut)]

    assert np.array_equal(np.concatenate(got, axis=1), expected)
    assert np.array_equal(pieces.push(REST), whole.push(REST))


@given(raw=st.binary(max_size=200), cut=cuts, channels=st.sampled_from([1, 2]))
def test_int16_without_a_detour_is_the_same(raw: bytes, cut: list[int], channels: int) -> None:
    direct, rounded = PcmDecoder("pcm_s16le", channels), PcmDecoder("pcm_s16le", channels)

    got = [direct.push_int16(piece) for piece in cut_at(raw, cut)]

    joined = [b"".join(pieces) for pieces in zip(*got, strict=True)]
    assert joined == [to_bytes(channel) for channel in to_int16(rounded.push(raw))]
    assert direct.push_int16(REST) == [to_bytes(channel) for channel in to_int16(rounded.push(REST))]


def test_channels_are_taken_apart() -> None:
    interleaved = np.array([1, -1, 2, -2, 3, -3], dtype="<i2").tobytes()

    left, right = PcmDecoder("pcm_s16le", channels=2).push(interleaved)

    assert to_int16(left).tolist() == [1, 2, 3]
    assert to_int16(right).tolist() == [-1, -2, -3]


@pytest.mark.parametrize(
    ("code", "linear"),
    # ITU-T G.711: the extremes, the smallest steps, and the border between two segments.
    [(0x00, -32124), (0x80, 32124), (0x7F, 0), (0xFF, 0), (0x7E, -8), (0xFE, 8), (0xF0, 120), (0xEF, 132)],
)
def test_mulaw_follows_the_standard(code: int, linear: int) -> None:
    assert MULAW_TABLE[code] * 32768 == linear


@pytest.mark.parametrize(
    ("code", "linear"),
    [(0x55, -8), (0xD5, 8), (0xD4, 24), (0x2A, -32256), (0xAA, 32256), (0xC5, 264), (0xDA, 248)],
)
def test_alaw_follows_the_standard(code: int, linear: int) -> None:
    assert ALAW_TABLE[code] * 32768 == linear


def test_floats_that_are_no_sound_are_limited() -> None:
    wild = np.array([np.nan, np.inf, -np.inf, 3e38, -2.0, 0.25], dtype="<f4")

    (waveform,) = PcmDecoder("pcm_f32le").push(wild.tobytes())

    assert waveform.tolist() == [0.0, 1.0, -1.0, 1.0, -1.0, 0.25]
