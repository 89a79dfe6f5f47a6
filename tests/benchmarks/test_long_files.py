"""Long recordings: at least as long as asked for, the same each time, and with the share of speech they promise."""

from __future__ import annotations

import numpy as np

from benchmarks.long_files import SPEECH_SHARE, make_dense, make_natural
from gigastt.audio.pcm import Samples

MINUTES = 5.0
_WAVE = np.array([1_000, -1_000], np.int16)


def clips() -> list[Samples]:
    """Each begins with a second of a room's noise of 10, and goes on with a loud square wave."""
    room = np.rint(np.random.default_rng(0).normal(0, 10, 16_000)).astype(np.int16)
    return [np.concatenate((room, np.tile(_WAVE, seconds * 8_000))) for seconds in (2, 3, 5)]


def test_both_hold_whole_clips_and_are_the_same_each_time() -> None:
    for make in (make_dense, make_natural):
        recording, numbers = make(clips(), MINUTES)
        assert MINUTES * 60 <= len(recording) / 16_000 < MINUTES * 60 + 20
        assert np.array_equal(recording, make(clips(), MINUTES).samples)
        assert np.isin(np.abs(recording), 1_000).sum() == sum((2, 3, 5)[number] * 16_000 for number in numbers)


def test_pauses_of_a_natural_recording_are_as_long_together_and_as_loud_as_they_should_be() -> None:
    recording = make_natural(clips(), MINUTES).samples
    loud = np.abs(recording) == 1_000
    spoken = loud.mean() * 13 / 10  # of a clip, three seconds in thirteen are the room

    assert abs(spoken - SPEECH_SHARE) < 0.06
    assert 5 < float(recording[~loud].std()) < 15
