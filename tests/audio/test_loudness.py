"""Audio far outside the range of speech is brought into it, and everything else is left as it is."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest

from gigastt.audio.decode import decode
from gigastt.audio.loudness import bring_into_range
from gigastt.audio.mixdown import Block
from gigastt.audio.pcm import Samples, Waveform
from gigastt.audio.timeline import Silence
from tests.fakes.audio_files import make_tone
from tests.wave_files import wave_file

_TONE = (make_tone(2.0) / np.float32(12_000)).astype(np.float32)  # peak 1
_NOISE = np.random.default_rng(3).normal(0, 0.25, 32_000).astype(np.float32)


def heard(waveform: Waveform, rate: int = 16_000) -> Samples:
    raw = wave_file(waveform.astype("<f4").tobytes(), rate, "pcm_f32le")
    return np.concatenate(list(decode(io.BytesIO(raw), 600.0)))


def peak(samples: Samples) -> float:
    return float(np.abs(samples.astype(float)).max()) / 32_768


def likeness(samples: Samples, waveform: Waveform) -> float:
    return float(np.corrcoef(samples.astype(float), waveform)[0, 1])


@pytest.mark.parametrize("gain", [2.0, 8.0, 1_000.0, 32_768.0])
def test_floats_beyond_full_scale_are_scaled_and_not_clipped(gain: float) -> None:
    samples = heard(_TONE * np.float32(gain))
    # Block by block the scale follows: compare within one.
    assert likeness(samples[16_384:32_000], _TONE[16_384:]) > 0.999
    assert 0.9 < peak(samples) <= 1.0


@pytest.mark.parametrize("gain", [0.009, 0.003162, 0.001])
def test_a_very_quiet_file_is_raised_as_a_whole(gain: float) -> None:
    samples = heard(_TONE * np.float32(gain))

    assert likeness(samples, _TONE) > 0.999
    assert peak(samples) == pytest.approx(min(0.5, gain * 200), rel=0.01)


@pytest.mark.parametrize("gain", [0.0101, 0.1, 0.5, 1.0])
def test_audio_in_range_is_not_touched(gain: float) -> None:
    waveform = _TONE * np.float32(gain)

    assert np.array_equal(heard(waveform), np.clip(np.rint(waveform * 32_768), -32_768, 32_767).astype(np.int16))


def test_a_few_peaks_beyond_full_scale_are_clipped_and_change_nothing_else() -> None:
    waveform = np.clip(_NOISE, -0.9, 0.9)
    peaks = waveform.copy()
    peaks[[100, 9_000, 20_000]] = 1.2

    assert np.count_nonzero(heard(peaks) != heard(waveform)) == 3


def test_what_is_no_number_is_silence_and_mutes_nothing_else() -> None:
    broken = _TONE * np.float32(0.5)
    whole = heard(broken)
    places = [10, 9_000, 9_001, 20_000]
    broken[places] = [np.nan, np.inf, -np.inf, 1e30]

    samples = heard(broken)

    assert not samples[places].any()
    assert np.array_equal(np.delete(samples, places), np.delete(whole, places))


def test_audio_after_something_far_too_loud_comes_back() -> None:
    burst = np.where(np.arange(16_000) % 2, 20_000.0, -20_000.0).astype(np.float32)
    samples = heard(np.concatenate([burst, np.tile(_TONE, 60)]))

    assert peak(samples[-32_000:]) > 0.9


def test_16_khz_mono_pcm16_is_exact_however_quiet() -> None:
    quiet = (make_tone(1.0) // 400).astype(np.int16)

    assert np.array_equal(np.concatenate(list(decode(io.BytesIO(wave_file(quiet.tobytes(), 16_000)), 9.0))), quiet)


def test_a_quiet_beginning_is_held_back_in_bounded_memory_and_the_whole_file_decides() -> None:
    taken = 0

    def blocks(last: float) -> Iterator[Block | Silence]:
        nonlocal taken
        for _ in range(400):  # 6.5 million samples: more than are held back
            taken += 1
            yield Block(48_000, np.full(16_384, 0.002, dtype=np.float32))
        yield Silence(5.0)
        yield Block(48_000, np.full(16_384, last, dtype=np.float32))

    first = next(bring_into_range(blocks(0.5), lambda: 0.5))
    assert isinstance(first, Block)
    assert first.waveform[0] == np.float32(0.002)
    assert taken < 260

    raised = list(bring_into_range(blocks(0.005), lambda: 0.005))
    assert isinstance(raised[-2], Silence)
    assert isinstance(raised[-1], Block)
    assert raised[-1].waveform[0] == pytest.approx(0.5)


def test_a_long_quiet_file_is_decoded_once_more_for_its_peak() -> None:
    quiet = np.full(4_500_000, 0.004, dtype=np.float32)
    quiet[-1] = 0.008

    samples = heard(quiet)

    assert len(samples) == len(quiet)
    assert samples[100] / 32_768 == pytest.approx(0.25, rel=0.01)
    assert peak(samples) == pytest.approx(0.5, rel=0.01)
