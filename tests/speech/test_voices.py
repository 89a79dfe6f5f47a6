"""Voices of a window: the shipped models hear who is there, and nothing but the window's samples decides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gigastt.audio.pcm import Samples
from gigastt.errors import ModelInvalid
from gigastt.models.speaker_models import SMALL, resolve_speakers
from gigastt.speech.voices import VoiceModel, VoiceWindow, voice_windows
from gigastt.transcript import Voice
from tests.clips import load_clips

CLIPS = {clip.path.stem: np.frombuffer(clip.pcm, "<i2") for clip in load_clips()}
WHOLE = VoiceWindow(0, 0, 400)


@pytest.fixture(scope="module")
def model() -> VoiceModel:
    files = resolve_speakers(SMALL, Path("nowhere"))
    assert files is not None
    return VoiceModel(files.embedding, files.segmentation)


def four_seconds(*names: str) -> Samples:
    """Return as much of each clip as fits evenly into four seconds."""
    return np.concatenate([CLIPS[name][8_000 : 8_000 + 64_000 // len(names)] for name in names])


def likeness(first: Voice, second: Voice) -> float:
    one, other = (np.frombuffer(voice.embedding, "<f2").astype(float) for voice in (first, second))
    return float(one @ other)


def test_windows_follow_from_an_utterances_bounds() -> None:
    assert list(voice_windows(100, 100)) == []
    assert list(voice_windows(100, 250)) == [VoiceWindow(100, 100, 250)]
    assert list(voice_windows(100, 720)) == [VoiceWindow(100, 100, 500), VoiceWindow(500, 500, 720)]
    assert list(voice_windows(100, 600)) == [VoiceWindow(100, 100, 500), VoiceWindow(200, 500, 600)]


def test_one_voice_is_alike_in_other_words_and_unlike_another_one(model: VoiceModel) -> None:
    [first], [again], [other] = (
        model.find(four_seconds(name), WHOLE) for name in ("festival_01", "festival_18", "espeak_11")
    )

    assert likeness(first, again) > 0.35 > likeness(first, other)
    assert first.alone > 2
    assert np.linalg.norm(np.frombuffer(first.embedding, "<f2").astype(float)) == pytest.approx(1, abs=1e-2)


def test_two_voices_in_a_window_are_told_apart_in_time(model: VoiceModel) -> None:
    found = model.find(four_seconds("espeak_11", "festival_18"), WHOLE)

    assert len(found) == 2
    middles = [sum(voice.spans) / len(voice.spans) for voice in found]
    assert middles[0] < 200 < middles[1]


def test_neither_the_samples_behind_nor_the_place_of_a_window_matter(model: VoiceModel) -> None:
    samples = four_seconds("festival_01", "espeak_11")
    longer = np.concatenate((samples, CLIPS["espeak_03"]))

    found, later = model.find(samples, WHOLE), model.find(longer, VoiceWindow(700, 700, 1_100))

    assert [voice.embedding for voice in later] == [voice.embedding for voice in found]
    assert [tuple(frame - 700 for frame in voice.spans) for voice in later] == [voice.spans for voice in found]


def test_only_what_is_behind_the_beginning_is_told(model: VoiceModel) -> None:
    found = model.find(four_seconds("festival_01", "espeak_11"), VoiceWindow(0, 300, 400))

    assert found
    assert min(min(voice.spans) for voice in found) >= 300


def test_silence_has_no_voice_and_a_few_frames_do_no_harm(model: VoiceModel) -> None:
    assert model.find(np.zeros(64_000, np.int16), WHOLE) == ()
    assert len(model.find(four_seconds("festival_01"), VoiceWindow(0, 0, 4))) <= 1


def test_a_file_that_is_no_speaker_model_is_refused(model: VoiceModel, tmp_path: Path) -> None:
    files = resolve_speakers(SMALL, tmp_path)
    assert files is not None
    with pytest.raises(ModelInvalid, match=r"Expected .* in segmentation3\.onnx"):
        VoiceModel(files.segmentation, files.segmentation)
    with pytest.raises(ModelInvalid, match=r"resemblyzer\.onnx"):
        VoiceModel(files.embedding, files.embedding)
    (tmp_path / "x.onnx").write_bytes(b"x")
    with pytest.raises(ModelInvalid, match=r"x\.onnx"):
        VoiceModel(tmp_path / "x.onnx", files.segmentation)
