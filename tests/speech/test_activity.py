"""The activity detector: the same bits for every continuation, and what it hears."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.audio.pcm import Samples
from gigastt.speech.activity import (
    BLOCK_FRAMES,
    LONG_BLOCKS,
    STATE_BYTES,
    UNIT_BLOCKS,
    UNIT_FRAMES,
    ActivityDetector,
    ActivityModel,
    Row,
)
from gigastt.speech.features import log_mel
from gigastt.speech.tokens import Features
from tests.shared import require_shared

MODEL = ActivityModel.load()
DETECTOR = (files("gigastt.speech") / "data" / "activity.onnx").read_bytes()


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


class CountingModel(ActivityModel):
    """A network whose last bits depend on how much it is given at once, as a matrix library's may."""

    output = 0  # the one that differs

    def run(self, features: Features, above: Row, last: Row, hidden: Row) -> tuple[Row, Row, Row, Row]:
        outputs = [*super().run(features, above, last, hidden)]
        if len(features) > UNIT_FRAMES:
            outputs[self.output] = np.nextafter(outputs[self.output], np.float32(100))
        return outputs[0], outputs[1], outputs[2], outputs[3]


@given(st.lists(st.booleans(), max_size=33))
def test_long_units_in_any_place_give_the_same_bits(longs: list[bool]) -> None:
    levels, last_state = straight_through()
    detector, heard, at = ActivityDetector(MODEL, is_recorded=True), b"", 0
    per_long = LONG_BLOCKS // UNIT_BLOCKS
    for is_long in [*longs, *[False] * len(levels)]:
        count = per_long if is_long and at + per_long <= len(levels) else 1
        if at < len(levels):
            heard += detector.push(np.concatenate(changing_noise()[at : at + count]))
        at += count
    assert detector.longest_blocks == LONG_BLOCKS
    assert heard == b"".join(levels)
    assert detector.get_state() == last_state


@pytest.mark.parametrize("output", range(4))
def test_long_units_with_other_bits_are_found_out_and_not_used(output: int) -> None:
    model = CountingModel(DETECTOR)
    model.output = output
    assert not model.runs_long_alike
    assert ActivityDetector(model, is_recorded=True).longest_blocks == UNIT_BLOCKS


def test_a_stream_that_is_not_recorded_takes_no_long_units() -> None:
    with pytest.raises(ValueError, match="Expected a unit"):
        ActivityDetector(MODEL).push(np.zeros((LONG_BLOCKS * BLOCK_FRAMES, 64), np.float32))


@pytest.mark.parametrize("frames", [0, 3, UNIT_FRAMES + 4])
def test_only_units_of_whole_blocks_are_taken(frames: int) -> None:
    with pytest.raises(ValueError, match="Expected a unit"):
        ActivityDetector(MODEL).push(np.zeros((frames, 64), np.float32))


@pytest.mark.parametrize("state", [b"", b"\0" * (STATE_BYTES - 1), b"\xff" * STATE_BYTES])
def test_bytes_that_are_no_state_are_refused(state: bytes) -> None:
    with pytest.raises(ValueError, match="Expected"):
        ActivityDetector(MODEL).set_state(state)
