"""Features: what the model was trained on, and the same bits for every way of cutting the samples."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx_asr.preprocessors.numpy_preprocessor import GigaamPreprocessorNumpy

from gigastt.audio.pcm import Samples
from gigastt.speech.features import FeatureExtractor, log_mel
from gigastt.speech.tokens import Features
from tests.clips import Clip
from tests.recordings import bundled_clips, demo_clips, golos_clips, samples_of

_NOISE = np.random.default_rng(7).integers(-20_000, 20_000, 16_000, dtype=np.int16)
_DIGEST = """
import hashlib, sys
import numpy as np
from gigastt.speech.features import log_mel
samples = np.random.default_rng(7).integers(-20_000, 20_000, 16_000, dtype=np.int16)
print(hashlib.sha256(log_mel(samples).tobytes()).hexdigest())
"""


def _reference(samples: Samples) -> Features:
    """onnx-asr's GigaAM v3 preprocessor."""
    waveforms = samples.astype(np.float32)[None] / np.float32(32768)
    features, lengths = GigaamPreprocessorNumpy("gigaam_v3")(waveforms, np.array([samples.size]))
    reference: Features = features[0, :, : lengths[0]].T
    return reference


def _stream(samples: Samples, cuts: list[int]) -> Features:
    extractor = FeatureExtractor()
    bounds = [0, *sorted(cuts), len(samples)]
    pieces = [extractor.push(samples[begin:end]) for begin, end in itertools.pairwise(bounds)]
    return np.concatenate(pieces)


def _assert_matches_reference(clips: list[Clip]) -> None:
    for clip in clips:
        features, reference = log_mel(samples_of(clip)), _reference(samples_of(clip))
        assert features.shape == reference.shape
        np.testing.assert_allclose(features, reference, atol=1e-4, rtol=0, err_msg=clip.path.name)


def test_bundled_clips_match_onnx_asr() -> None:
    _assert_matches_reference(bundled_clips())


def test_all_demo_clips_match_onnx_asr() -> None:
    _assert_matches_reference(demo_clips())


def test_all_golos_clips_match_onnx_asr() -> None:
    _assert_matches_reference(golos_clips())


@given(st.lists(st.integers(0, len(_NOISE)), max_size=12))
def test_any_cutting_gives_the_same_bits(cuts: list[int]) -> None:
    assert np.array_equal(_stream(_NOISE, cuts), log_mel(_NOISE))


@pytest.mark.parametrize("size", [1, 7, 159, 160, 161, 319, 320, 321, 4096])
def test_any_chunk_size_gives_the_same_bits(size: int) -> None:
    samples = _NOISE[:4800]
    assert np.array_equal(_stream(samples, list(range(size, len(samples), size))), log_mel(samples))


@given(st.integers(0, 90), st.integers(1, 90))
def test_an_extractor_that_starts_later_gives_the_same_bits(first: int, frames: int) -> None:
    begin = first * 160
    piece = _NOISE[begin : begin + frames * 160 + 160]
    features = log_mel(piece)
    assert np.array_equal(features, log_mel(_NOISE)[first : first + len(features)])


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_number_of_numerical_threads_changes_no_bit(threads: int) -> None:
    env = {**os.environ, "OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    run = subprocess.run([sys.executable, "-c", _DIGEST], env=env, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == hashlib.sha256(log_mel(_NOISE).tobytes()).hexdigest()


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (319, 0), (320, 1), (479, 1), (480, 2), (16_000, 99)])
def test_a_frame_is_made_when_its_320_samples_are_there(samples: int, frames: int) -> None:
    features = log_mel(_NOISE[:samples])
    assert features.shape == (frames, 64)
    assert features.dtype == np.float32


def test_silence_is_the_lowest_power() -> None:
    np.testing.assert_allclose(log_mel(np.zeros(3200, dtype=np.int16)), np.log(1e-9), rtol=1e-6)


def test_loudest_samples_give_finite_features() -> None:
    square = np.where(np.arange(3200) // 16 % 2 == 0, 32_767, -32_768).astype(np.int16)
    assert np.isfinite(log_mel(square)).all()


def test_extractor_keeps_no_view_of_the_samples() -> None:
    buffer = _NOISE[:800].copy()
    extractor = FeatureExtractor()
    first = extractor.push(buffer)
    buffer[:] = 0
    second = extractor.push(_NOISE[800:1600])
    assert np.array_equal(np.concatenate((first, second)), log_mel(_NOISE[:1600]))
