"""The recogniser: windows to words, alone and in batches, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gigastt.errors import InferenceError, ModelInvalid
from gigastt.optimize.search_writer import write_search_weights
from gigastt.speech.features import log_mel
from gigastt.speech.recognizer import MAX_WINDOW_FRAMES, Recognizer, Transcriber
from gigastt.speech.tokens import Hypothesis, Window, group_words, join_pieces
from tests.fakes.recognizer import FakeRecognizer
from tests.fakes.triplet import write_encoder, write_triplet
from tests.recordings import DEMO_MODEL, bundled_clips, files_in, samples_of

# what the demo model makes of the bundled clips, each in one pass
_TEXTS = {
    "espeak_01.wav": "Расскажи рецепт каши. Включи фильм фиксики.",
    "espeak_03.wav": "Закрой шторы в спальне.",
    "espeak_11.wav": "Включён ли телевизор в прихожей? Он нашёл площадь в городе? "
    "Восемь, пять, шесть, один, девять, девять, четыре.",
    "espeak_19.wav": "Скучный камень вернулся раньше, пока умный шкаф опоздал за домом. "
    "Прочитай про площадь и историю.",
    "festival_01.wav": "Возьмите сто пятьдесят граммов, затем запекайте курицу двадцать девять минут.",
    "festival_09.wav": "Поставь таймер на две минуты.",
    "festival_11.wav": "Где можно купить лук? Смешайте семьсот граммов, затем запекайте огурцы сорок три минут.",
    "festival_18.wav": "Она закрыла чашку на берегу!",
}


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load(files_in(DEMO_MODEL))


@pytest.fixture
def tiny(tmp_path: Path) -> Recognizer:
    return Recognizer.load(write_triplet(tmp_path))


def _text(hypothesis: Hypothesis) -> str:
    return join_pieces([token.piece for token in hypothesis.tokens])


def _noise(frames: int, seed: int = 0, first_frame: int = 0) -> Window:
    features = np.random.default_rng(seed).standard_normal((frames, 64)).astype(np.float32)
    return Window(features, first_frame)


def test_bundled_clips_are_recognised(recognizer: Recognizer) -> None:
    texts = {
        clip.path.name: _text(recognizer.transcribe(Window(log_mel(samples_of(clip)), 0))) for clip in bundled_clips()
    }
    assert texts == _TEXTS


def test_words_lie_where_they_were_spoken(recognizer: Recognizer) -> None:
    (clip,) = (clip for clip in bundled_clips() if clip.path.name == "espeak_01.wav")
    words = group_words(recognizer.transcribe(Window(log_mel(samples_of(clip)), 0)).tokens)
    first_sentence, second_sentence = words[:3], words[3:]
    assert [word.text for word in second_sentence] == ["Включи", "фильм", "фиксики."]
    # the manifest has the sentences at 0.47–1.64 s and 3.41–5.00 s; a full-context encoder may emit a word early
    assert all(word.start < 1.7 for word in first_sentence)
    assert all(3.0 < word.start < 5.1 for word in second_sentence)
    assert all(0.5 < word.confidence <= 1.0 for word in words)


def test_times_move_with_the_window(recognizer: Recognizer) -> None:
    features = log_mel(samples_of(bundled_clips()[1]))
    here = group_words(recognizer.transcribe(Window(features, 0)).tokens)
    later = group_words(recognizer.transcribe(Window(features, 360_000)).tokens)
    assert [word.start for word in later] == pytest.approx([word.start + 3600 for word in here])
    assert [word.text for word in later] == [word.text for word in here]


def test_the_same_window_gives_the_same_hypothesis(recognizer: Recognizer) -> None:
    window = Window(log_mel(samples_of(bundled_clips()[0])), 0)
    one, other = recognizer.transcribe(window), recognizer.transcribe(window)
    assert one.tokens == other.tokens
    assert all(np.array_equal(a.c, b.c) for a, b in zip(one.states, other.states, strict=True))


def test_a_window_with_context_goes_on_from_its_state(recognizer: Recognizer) -> None:
    features = log_mel(samples_of(bundled_clips()[0]))
    whole = recognizer.transcribe(Window(features, 0))
    saved = 4
    skip = whole.tokens[saved].frame // 4 + 1
    rest = recognizer.transcribe(Window(features, 0, skip=skip, state=whole.states[saved]))
    assert [token.id for token in rest.tokens] == [token.id for token in whole.tokens[saved + 1 :]]


def test_a_batch_gives_what_its_windows_give_alone(recognizer: Recognizer) -> None:
    features = log_mel(samples_of(bundled_clips()[2]))
    windows = [Window(features[begin : begin + 160], begin) for begin in (0, 160, 320)]
    batch = recognizer.transcribe_batch(windows)
    alone = [recognizer.transcribe(window) for window in windows]
    assert [_text(hypothesis) for hypothesis in batch] == [_text(hypothesis) for hypothesis in alone]
    assert [t.frame for h in batch for t in h.tokens] == [t.frame for h in alone for t in h.tokens]


def test_an_empty_batch_is_no_pass(tiny: Recognizer) -> None:
    assert tiny.transcribe_batch([]) == []


def test_an_unequal_batch_is_an_error(tiny: Recognizer) -> None:
    with pytest.raises(InferenceError, match=r"one length in a batch, but got \[40, 44\]"):
        tiny.transcribe_batch([_noise(40), _noise(44)])


def test_an_encoder_of_batch_one_takes_a_batch_in_turn(tmp_path: Path) -> None:
    files = write_triplet(tmp_path)
    windows = [_noise(40, seed) for seed in range(3)]
    expected = Recognizer.load(files).transcribe_batch(windows)
    write_encoder(files.encoder, batch=1)
    assert [h.tokens for h in Recognizer.load(files).transcribe_batch(windows)] == [h.tokens for h in expected]


@pytest.mark.parametrize("frames", [0, MAX_WINDOW_FRAMES + 1])
def test_a_window_of_no_frames_or_over_20_seconds_is_an_error(tiny: Recognizer, frames: int) -> None:
    with pytest.raises(InferenceError, match=rf"1 to {MAX_WINDOW_FRAMES} feature frames, but got \[{frames}\]"):
        tiny.transcribe(_noise(frames))


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, MAX_WINDOW_FRAMES])
def test_windows_up_to_the_limits_are_taken(recognizer: Recognizer, frames: int) -> None:
    recognizer.transcribe(Window(np.full((frames, 64), -9.0, dtype=np.float32), 0))


def test_a_vocabulary_of_another_size_is_refused(tmp_path: Path) -> None:
    files = write_triplet(tmp_path, vocabulary=9)
    with pytest.raises(ModelInvalid, match=r"Expected 7 pieces in tiny_vocab\.txt.*but got 9"):
        Recognizer.load(files)


def test_the_search_says_whether_it_runs_graphs(tmp_path: Path) -> None:
    files = write_triplet(tmp_path)
    assert Recognizer.load(files).runs_graphs
    write_search_weights(files)
    assert not Recognizer.load(files).runs_graphs


def test_the_encoder_is_named_after_its_file(recognizer: Recognizer) -> None:
    assert recognizer.encoder_name == "v3_e2e_rnnt_encoder"


def test_the_fake_stands_in_for_the_recogniser(recognizer: Recognizer) -> None:
    transcribers: list[Transcriber] = [recognizer, FakeRecognizer()]
    for transcriber in transcribers:
        assert transcriber.transcribe(Window(np.full((40, 64), -20.0, dtype=np.float32), 0)) == Hypothesis((), ())
