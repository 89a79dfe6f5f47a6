"""The gate: even noise far below the speech before it is no speech, and nobody stays muted."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gigastt.speech.activity import DEPTH, RELEASE, Gate
from gigastt.speech.tokens import Features

SPEECH, UNSURE, NOTHING = 250, 80, 10


def block(decibels: float) -> Features:
    return np.full((4, 64), decibels / 4.342945, np.float32)


def test_what_is_far_below_the_speech_before_is_silent() -> None:
    gate = Gate()
    assert gate.push(block(0), SPEECH) == SPEECH
    assert gate.push(block(-DEPTH / 10 - 1), SPEECH) == 0
    assert gate.push(block(-DEPTH / 10 + 1), SPEECH) == SPEECH


def test_a_stream_that_has_heard_no_speech_mutes_nothing() -> None:
    gate = Gate()
    assert [gate.push(block(decibels), UNSURE) for decibels in (0, -80)] == [UNSURE, UNSURE]


def test_a_quiet_speaker_is_heard_again_after_a_loud_one() -> None:
    gate = Gate()
    gate.push(block(0), SPEECH)
    levels = [gate.push(block(-DEPTH / 10 - 9), SPEECH) for _ in range(90 // RELEASE + 1)]
    assert levels[0] == 0
    assert levels[-1] == SPEECH


@given(st.lists(st.tuples(st.integers(-90, 40), st.sampled_from([SPEECH, UNSURE, NOTHING])), min_size=2), st.data())
def test_a_state_set_again_continues_exactly(heard: list[tuple[int, int]], data: st.DataObject) -> None:
    split = data.draw(st.integers(0, len(heard)))
    straight, restored = Gate(), Gate()
    for decibels, level in heard[:split]:
        straight.push(block(decibels), level)
    restored.set_state(straight.get_state())
    for decibels, level in heard[split:]:
        assert restored.push(block(decibels), level) == straight.push(block(decibels), level)
