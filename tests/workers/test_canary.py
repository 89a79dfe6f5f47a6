"""The canary goes through the whole pipeline, and its passes are timed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from gigastt.errors import InferenceError, ModelInvalid
from gigastt.speech.tokens import Hypothesis, Window
from gigastt.workers.engine import Engine
from gigastt.workers.start import SOUND_SECONDS, TIMED_PASSES, make_sound, run_canary, time_passes
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


def test_passes_are_timed_by_the_clocks_given() -> None:
    ticks, work = itertools.count(0.0, 0.05), itertools.count(0.0, 0.03)

    passes = time_passes(FakeRecognizer(), lambda: next(ticks), lambda: next(work))

    assert [made.seconds for made in passes] == pytest.approx([0.05] * TIMED_PASSES)
    assert [made.cpu_seconds for made in passes] == pytest.approx([0.03] * TIMED_PASSES)
    assert {made.audio_seconds for made in passes} == {SOUND_SECONDS}
