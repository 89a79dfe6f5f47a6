"""Every head of the catalogue on tiny random models, against onnx-asr: tokens, times and text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx_asr
import pytest

from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.errors import InferenceError, ModelInvalid
from gigastt.models.catalog import CATALOG
from gigastt.speech.ctc import CtcSearch
from gigastt.speech.features import log_mel
from gigastt.speech.model import CtcFiles, recogniser_files
from gigastt.speech.recognizer import Recognizer
from gigastt.speech.tokens import FRAME_SAMPLES, Vocabulary, Window, group_words, join_pieces
from tests.clips import load_clips
from tests.fakes.heads import write_ctc, write_model
from tests.recordings import samples_of

pytestmark = pytest.mark.slow

_VOCABULARY = Vocabulary(("▁", "а", "б", "<blk>"))


def load(folder: Path, model: str) -> Recognizer:
    names = CATALOG[model].names
    decoder, joint = (folder / name if name else None for name in (names.decoder, names.joint))
    return Recognizer.load(recogniser_files(folder / names.encoder, decoder, joint, folder / names.vocabulary))


@pytest.mark.parametrize("model", CATALOG)
def test_tokens_times_and_text_are_those_of_onnx_asr(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnx_asr.models.gigaam.GigaamV2Rnnt.PRED_HIDDEN", 4)  # of the tiny decoder
    write_model(tmp_path, CATALOG[model].names)
    reference = onnx_asr.load_model(model, str(tmp_path)).with_timestamps()
    recognizer = load(tmp_path, model)
    heard = 0
    for clip in load_clips():
        samples = samples_of(clip)
        expected = reference.recognize(samples.astype(np.float32) / np.float32(32768))
        tokens = recognizer.transcribe(Window(log_mel(samples), 0)).tokens
        heard += len(tokens)
        assert [token.piece.replace("▁", " ") for token in tokens] == expected.tokens
        assert [token.frame * FRAME_SAMPLES / SAMPLE_RATE for token in tokens] == pytest.approx(expected.timestamps)
        assert all(0 < token.probability <= 1 for token in tokens)
        if "<unk>" not in (token.piece for token in tokens):
            assert join_pieces([token.piece for token in tokens]).split() == expected.text.split()
    assert heard > 100


def scores(*best: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Log-probabilities [vocabulary, time] whose best token is given for each frame, less sure frame by frame."""
    out = np.zeros((len(_VOCABULARY), len(best)), np.float32)
    for frame, token in enumerate(best):
        out[token, frame] = 5.0 - 0.1 * frame
    return out


def test_repetitions_are_one_token_and_a_blank_between_makes_two() -> None:
    tokens = CtcSearch(_VOCABULARY).search(scores(3, 1, 1, 3, 1, 2)).tokens
    assert [(token.id, token.frame) for token in tokens] == [(1, 4), (1, 16), (2, 20)]


def test_a_token_is_as_probable_as_in_its_best_frame() -> None:
    rising = scores(1, 1)
    rising[1, 1] = 9.0
    (token,) = CtcSearch(_VOCABULARY).search(rising).tokens
    assert token.probability > 0.99
    assert token.frame == 0


def test_a_token_that_began_before_the_searched_frames_is_not_told_again() -> None:
    search, whole = CtcSearch(_VOCABULARY), scores(1, 1, 1, 3, 2)
    assert [token.id for token in search.search(whole, first_frame=40, skip=2).tokens] == [2]
    assert search.search(whole, first_frame=40, skip=2).tokens[0].frame == 56


def test_a_word_of_characters_begins_with_its_first_letter() -> None:
    tokens = CtcSearch(_VOCABULARY).search(scores(0, 3, 3, 1, 2, 0, 2)).tokens
    assert [(word.text, word.start, word.end) for word in group_words(tokens)] == [("аб", 0.12, 0.2), ("б", 0.24, 0.28)]


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InferenceError, match="finite"):
        CtcSearch(_VOCABULARY).search(np.full((4, 2), np.nan, np.float32))


def test_a_vocabulary_of_another_size_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path, CATALOG["gigaam-v3-ctc"].names)
    write_ctc(tmp_path / "v3_ctc.onnx", vocabulary=9)
    with pytest.raises(ModelInvalid, match=r"Expected 9 pieces in v3_vocab.txt, as many as v3_ctc.onnx scores"):
        Recognizer.load(CtcFiles(tmp_path / "v3_ctc.onnx", tmp_path / "v3_vocab.txt"))


@pytest.mark.parametrize("most", [0, "3", None])
def test_a_config_that_allows_no_tokens_is_refused(tmp_path: Path, most: object) -> None:
    write_model(tmp_path, CATALOG["gigaam-v3-rnnt"].names)
    (tmp_path / "config.json").write_text(json.dumps({"max_tokens_per_step": most}))
    with pytest.raises(ModelInvalid, match="max_tokens_per_step"):
        load(tmp_path, "gigaam-v3-rnnt")
