"""The detector's recipe: the shipped file is what the weights export to, and the noises are what they say."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest

from gigastt.speech.segmenter import Activity, Cut
from tools.activity.channels import change_speed, compand, normalise, pass_band, shape_spectrum, telephone
from tools.activity.evaluate import Decision, Span, label_voice, measure, merge_spans, spans_of
from tools.activity.export import SHIPPED, build
from tools.activity.mixtures import label_speech
from tools.activity.network import BANDS, BLOCK_FRAMES, HIDDEN, Array, Weights, follow_floor, pool_blocks, probabilities
from tools.activity.noises import NOISES, babble

SECOND = 16_000
SURE = Activity(0.9, 255)


def features(blocks: int) -> Array:
    rng = np.random.default_rng(2)
    loudness = np.repeat(rng.normal(-8, 3, (blocks, 1)), BLOCK_FRAMES, axis=0)
    return (loudness + rng.normal(0, 1, (blocks * BLOCK_FRAMES, BANDS))).astype(np.float32)


def run(model: bytes, frames: Array) -> Array:
    state = {
        "above": np.zeros((1, 1, BANDS), np.float32),
        "last": np.full((1, 1, BANDS), 100, np.float32),
        "hidden": np.zeros((1, 1, HIDDEN), np.float32),
    }
    outputs = ort.InferenceSession(model).run(None, {"features": frames[None], **state})
    probability: Array = outputs[0][0]
    return probability


def tone(hz: float, seconds: float = 1.0) -> Array:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * SECOND)) / SECOND).astype(np.float32)


def test_the_shipped_file_is_what_the_weights_export_to() -> None:
    frames = features(40)
    exported = run(build(Weights.load()).SerializeToString(), frames)
    assert np.array_equal(exported, run(SHIPPED.read_bytes(), frames))


def test_the_exported_file_follows_the_reference() -> None:
    frames = features(60)
    expected = probabilities(Weights.load(), frames)
    assert np.ptp(expected) > 0.1
    assert np.abs(run(SHIPPED.read_bytes(), frames) - expected).max() < 1e-5


def test_the_floor_follows_the_signal_down_and_rises_slowly() -> None:
    levels = np.concatenate([np.full(50, -6.0), np.full(50, -10.0), np.full(50, -6.0)]).astype(np.float32)
    pairs = np.tile(levels[:, None, None], (1, 2, BANDS))[None]
    above = follow_floor(pairs)[0, :, 0]
    assert abs(above[49]) < 0.2
    assert abs(above[99]) < 0.2
    assert above[101] > 3.5


def test_blocks_are_clamped_pair_means() -> None:
    pooled = pool_blocks(np.array([[[-20.0], [-12.0], [2.0], [4.0]]], np.float32))
    assert pooled.ravel().tolist() == [-13.0, 3.0]


@pytest.mark.parametrize("kind", sorted(NOISES))
def test_a_noise_is_of_unit_deviation_and_made_again_by_its_seed(kind: str) -> None:
    first, second = (NOISES[kind](SECOND, np.random.default_rng(4)) for _ in range(2))
    assert first.shape == (SECOND,)
    assert np.array_equal(first, second)
    assert first.std() == pytest.approx(1.0, abs=0.01)


def test_babble_mixes_the_given_voices() -> None:
    power = np.abs(np.fft.rfft(babble(SECOND, np.random.default_rng(1), [tone(200), tone(310)], 4))) ** 2
    assert power[150:360].sum() > 0.9 * power.sum()


def test_the_line_keeps_its_band() -> None:
    kept, lost = telephone(tone(1_000)), telephone(tone(6_000))
    assert kept.std() > 0.6
    assert lost.std() < 0.02


def test_filters_are_flat_where_they_say() -> None:
    assert pass_band(tone(1_000), 300, 3_400).std() == pytest.approx(tone(1_000).std(), rel=0.02)
    assert shape_spectrum(tone(500), [100, 8_000], [-20, -20]).std() == pytest.approx(0.0707, rel=0.02)
    assert np.abs(compand(tone(300)) - tone(300)).max() < 0.03
    assert len(change_speed(tone(300), 2.0)) == SECOND // 2
    assert normalise(tone(300) * 7).std() == pytest.approx(1.0, rel=1e-3)


def test_speech_is_labelled_with_its_short_gaps() -> None:
    wave = np.concatenate([np.zeros(SECOND), tone(200), np.zeros(1_600), tone(200), np.zeros(SECOND)]).astype(
        np.float32
    )
    assert spans_of(label_speech(wave, len(wave) // 160)) == [Span(99, 310)]


def test_loud_noise_without_voice_is_not_speech() -> None:
    rng = np.random.default_rng(0)
    wave = np.concatenate([tone(200), np.zeros(SECOND), rng.normal(0, 0.5, SECOND)]).astype(np.float32)
    assert label_speech(wave, 300)[250]
    assert spans_of(label_voice(wave, 300))[-1].last <= 101


def test_spans_join_over_short_gaps() -> None:
    assert merge_spans([Span(0, 10), Span(15, 20), Span(40, 50)], 10) == [Span(0, 20), Span(40, 50)]


def test_a_late_endpoint_is_measured_from_the_end_of_speech() -> None:
    labels = np.zeros(500, np.bool_)
    labels[100:200] = True
    decisions = [Decision(Cut(22, 58, 0, "silence", SURE), 270), Decision(Cut(125, 125, 0, "stop", SURE), 500)]
    figures = measure(decisions, labels)
    assert (figures.lost, figures.cut, figures.delays, figures.never) == (0.0, 0, (700,), 0.0)
