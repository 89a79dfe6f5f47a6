"""Resampling gives the same bits for every way of cutting the input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.audio.pcm import PcmDecoder, Samples
from gigastt.audio.resample import SUPPORTED_RATES, Resampler
from tests.fakes.cuts import cut_at
from tests.properties import tries

_RATES = [8_000, 24_000, 44_100, 48_000, 8_001, 11_025, 12_000, 22_050, 32_000, 96_000, 192_000]
_RAW = np.random.default_rng(7).integers(-32768, 32768, 12_000).astype("<i2").tobytes()


def resample(pieces: list[bytes], rate: int) -> Samples:
    decoder, resampler = PcmDecoder("pcm_s16le"), Resampler(rate)
    return np.concatenate([*(resampler.push(decoder.push(piece)[0]) for piece in pieces), resampler.flush()])


@given(rate=st.sampled_from(_RATES), cut=st.lists(st.integers(0, len(_RAW)), max_size=60))
@tries(60)
def test_any_cut_gives_the_same_bits(rate: int, cut: list[int]) -> None:
    assert np.array_equal(resample(cut_at(_RAW, cut), rate), resample([_RAW], rate))


@pytest.mark.parametrize("rate", _RATES)
@pytest.mark.parametrize("size", [1, 3, 640, 9_999])
def test_even_frames_from_one_byte_on_give_the_same_bits(rate: int, size: int) -> None:
    raw = _RAW[:8_000]
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]

    assert np.array_equal(resample(pieces, rate), resample([raw], rate))


@pytest.mark.parametrize("rate", SUPPORTED_RATES)
def test_length_is_that_of_the_same_time_at_16_khz(rate: int) -> None:
    second = np.zeros(rate, dtype="<i2").tobytes()

    assert abs(len(resample([second], rate)) - 16_000) <= 1


@pytest.mark.parametrize("rate", _RATES)
def test_a_tone_keeps_its_pitch_and_loudness(rate: int) -> None:
    time = np.arange(rate) / rate
    tone = (8_000 * np.sin(2 * np.pi * 1_000 * time)).astype("<i2")

    heard = resample([tone.tobytes()], rate)[2_000:14_000].astype(float)

    expected = np.fft.rfft(heard * np.hanning(len(heard)))
    assert abs(np.argmax(np.abs(expected)) * 16_000 / len(heard) - 1_000) < 2
    assert np.max(np.abs(heard)) == pytest.approx(8_000, rel=0.01)


def test_16_khz_passes_untouched() -> None:
    assert resample([_RAW], 16_000).tobytes() == _RAW


def test_loud_input_is_limited_and_never_wraps() -> None:
    square = np.where(np.arange(4_800) // 24 % 2, 32767, -32768).astype("<i2")

    heard = resample([square.tobytes()], 48_000).astype(int)

    assert np.max(np.abs(np.diff(heard))) <= 65_535
    assert set(np.sign(heard[200:204])) <= {-1, 1}
    assert heard.max() == 32767
    assert heard.min() == -32768
