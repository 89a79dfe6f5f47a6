"""The canary goes through the whole pipeline; capacity follows from what passes take."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from gigastt.errors import InferenceError, ModelInvalid
from gigastt.speech.tokens import Hypothesis, Window
from gigastt.workers.canary import capacity_of, make_sound, run_canary, time_pass
from gigastt.workers.engine import Engine
from tests.fakes.engine_bench import Bench, open_stream
from tests.fakes.recognizer import FakeRecognizer


class RefusingRecognizer(FakeRecognizer):
    """Refuses everything."""

    def transcribe_batch(self, windows: Sequence[Window]) -> list[Hypothesis]:
        """Refuse."""
        raise InferenceError("refused")


def test_the_sound_goes_through_recogniser_and_engine() -> None:
    bench = Bench()

    run_canary(bench.engine)

    assert len(bench.recognizer.passes) >= 1
    assert bench.engine.streams == 0


def test_a_model_that_refuses_the_sound_is_not_ready() -> None:
    engine = Engine(RefusingRecognizer(), open_stream, attach=lambda name, samples: np.zeros(0, np.int16))

    with pytest.raises(ModelInvalid):
        run_canary(engine)


def test_the_sound_is_loud_and_does_not_clip() -> None:
    sound = make_sound(2.0)

    assert len(sound) == 32_000
    assert 5_000 < np.abs(sound.astype(int)).max() < 32_767


@pytest.mark.parametrize(
    ("seconds", "capacity"),
    [
        (0.053, 17),  # GigaAM's shapes, optimised, on one core
        (0.181, 5),  # the same as exported
        (0.005, 127),  # the demonstration model
        (3.0, 1),  # too slow for even one, which it then carries with fewer partials
    ],
)
def test_capacity_follows_from_a_pass(seconds: float, capacity: int) -> None:
    assert capacity_of(seconds) == capacity


def test_capacity_is_measured_by_the_clock_given() -> None:
    ticks = itertools.count(0.0, 0.05)

    passed = time_pass(FakeRecognizer(), lambda: next(ticks), lambda: 0.0)
    assert passed.seconds == pytest.approx(0.05)
    assert passed.audio_seconds == 2.0
