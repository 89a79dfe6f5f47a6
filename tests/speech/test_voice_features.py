"""The front ends of speaker models: Kaldi's own numbers, and the same bits however many frames there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gigastt.speech.voice_features import at_level, frames_of, kaldi_bands, resemblyzer_bands

_TIME = np.arange(4_000)
CHIRP = np.round(
    8_000 * np.sin(2 * np.pi * (300 + _TIME * 0.5) * _TIME / 16_000) + 1_000 * np.sin(0.37 * _TIME)
).astype(np.int16)
# kaldi-native-fbank 1.22 with 80 bands and without dither: frames 0, 10 and 22, bands 0, 5, 20, 40, 60 and 79
KALDI = np.array(
    [
        [13.024, 12.184, 20.145, 4.750, 4.483, 6.318],
        [9.864, 2.162, 8.428, 20.383, 5.089, 6.317],
        [8.392, 2.070, 8.499, 4.762, 28.135, 5.905],
    ]
)


def test_kaldi_bands_are_kaldis() -> None:
    bands = kaldi_bands(CHIRP)

    assert bands.shape == (23, 80)
    np.testing.assert_allclose(bands[[0, 10, 22]][:, [0, 5, 20, 40, 60, 79]], KALDI, atol=1e-2)


@pytest.mark.parametrize("front_end", [kaldi_bands, resemblyzer_bands])
def test_a_frame_has_the_same_bits_however_many_there_are(front_end: Callable[[Any], Any]) -> None:
    whole = front_end(CHIRP)

    for first, count in ((0, 1), (3, 2), (7, 11)):
        part = front_end(CHIRP[first * 160 : (first + count - 1) * 160 + 400])
        assert np.array_equal(part, whole[first : first + count])


def test_too_few_samples_are_no_frame() -> None:
    assert frames_of(CHIRP[:399]) == 0
    assert kaldi_bands(CHIRP[:399]).shape == (0, 80)


def test_loudness_does_not_matter_at_a_level() -> None:
    np.testing.assert_allclose(
        at_level(resemblyzer_bands(CHIRP)), at_level(resemblyzer_bands(CHIRP // 8)), rtol=0.02, atol=1e-4
    )
