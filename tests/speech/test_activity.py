"""The activity detector: the same bits for every continuation, and what it hears."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigastt.speech.activity import STATE_BYTES, UNIT_FRAMES, ActivityDetector, ActivityModel
from gigastt.speech.features import log_mel
from gigastt.speech.hypothesis import Features, Samples
from tests.shared import require_shared

MODEL = ActivityModel.load()


def noise(seconds: float, amplitude: int) -> Samples:
    rng = np.random.default_rng(7)
    return rng.integers(-amplitude, amplitude + 1, round(16_000 * seconds)).astype(np.int16)


def units(features: Features) -> list[Features]:
    return [features[at : at + UNIT_FRAMES] for at in range(0, len(features) - UNIT_FRAMES + 1, UNIT_FRAMES)]


def levels_of(samples: Samples) -> bytes:
    detector = ActivityDetector(MODEL)
    return b"".join(detector.push(unit) for unit in units(log_mel(samples)))


@cache
def changing_noise() -> list[Features]:
    return units(log_mel(np.concatenate([noise(1.0, 40), noise(1.0, 4_000), noise(0.6, 100)])))


@cache
def straight_through() -> tuple[list[bytes], bytes]:
    """Levels of each unit, and the state behind the last, of a detector that is never restored."""
    detector = ActivityDetector(MODEL)
    return [detector.push(unit) for unit in changing_noise()], detector.get_state()


@given(st.lists(st.integers(0, 30), max_size=10))
@settings(deadline=None)
def test_a_state_set_again_continues_with_the_same_bits(restores: list[int]) -> None:
    levels, last_state = straight_through()
    restored = ActivityDetector(MODEL)
    for number, unit in enumerate(changing_noise()):
        if number in restores:
            state = restored.get_state()
            restored = ActivityDetector(MODEL)
            restored.set_state(state)
        assert restored.push(unit) == levels[number]
    assert restored.get_state() == last_state


def test_streams_do_not_disturb_each_other() -> None:
    quiet, loud = units(log_mel(noise(1.0, 20))), units(log_mel(noise(1.0, 8_000)))
    first, second = ActivityDetector(MODEL), ActivityDetector(MODEL)
    mixed = b""
    for a, b in zip(quiet, loud, strict=True):
        mixed += first.push(a)
        second.push(b)
    assert mixed == levels_of(noise(1.0, 20))


@pytest.mark.parametrize("amplitude", [0, 1, 30, 1_000, 10_000])
def test_stationary_noise_is_not_speech(amplitude: int) -> None:
    assert sum(level >= 102 for level in levels_of(noise(4.0, amplitude))) <= 2


def test_recorded_speech_is_heard() -> None:
    wav = require_shared("audio/golos/golos_00.wav").read_bytes()
    levels = levels_of(np.frombuffer(wav[44:], "<i2").astype(np.int16))
    assert sum(level >= 102 for level in levels) > 0.4 * len(levels)


@pytest.mark.parametrize("frames", [0, 3, UNIT_FRAMES + 4])
def test_only_units_of_whole_blocks_are_taken(frames: int) -> None:
    with pytest.raises(ValueError, match="Expected a unit"):
        ActivityDetector(MODEL).push(np.zeros((frames, 64), np.float32))


@pytest.mark.parametrize("state", [b"", b"\0" * (STATE_BYTES - 1), b"\xff" * STATE_BYTES])
def test_bytes_that_are_no_state_are_refused(state: bytes) -> None:
    with pytest.raises(ValueError, match="Expected"):
        ActivityDetector(MODEL).set_state(state)
