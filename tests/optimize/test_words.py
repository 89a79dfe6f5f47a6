"""The optimiser on a real export of another architecture: still valid, and the words stay."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jiwer
import pytest

from gigastt.optimize.encoder import optimize_encoder
from gigastt.optimize.words import Hearing, Judgement, edit_distance, judge_words, load_clips, read_clip
from gigastt.speech.features import log_mel
from gigastt.speech.model import TripletFiles
from gigastt.speech.recognizer import Recognizer
from gigastt.speech.tokens import Window, group_words
from tests.shared import require_shared

DEMO = Path(__file__).resolve().parents[2] / "gigastt" / "models" / "demo"
FILES = TripletFiles(*(DEMO / f"v3_e2e_rnnt_{n}" for n in ("encoder.onnx", "decoder.onnx", "joint.onnx", "vocab.txt")))
MAX_POINTS = 0.3  # of word error rate


@pytest.fixture(scope="module")
def optimized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("demo") / "encoder.optimized.onnx"
    report = optimize_encoder(FILES.encoder, target)
    assert {step.name: step.outcome for step in report.passes}["8-bit weights per channel"] == "done"
    assert report.judgement is not None
    assert report.judgement.before.words == 2 * sum(len(clip.words) for clip in load_clips()) == 1046
    assert json.loads(report.to_json())["is_default"] is report.judgement.is_good
    return target


def word_error_rate(encoder: Path, clips: list[tuple[Window, str]]) -> float:
    recognizer = Recognizer.load(TripletFiles(encoder, FILES.decoder, FILES.joint, FILES.vocabulary))
    hypotheses = [recognizer.transcribe(window) for window, _ in clips]
    texts = [plain(" ".join(word.text for word in group_words(h.tokens))) for h in hypotheses]
    return 100 * float(jiwer.wer([plain(text) for _, text in clips], texts))


def plain(text: str) -> str:
    return " ".join(re.sub(r"[^а-я ]", " ", text.lower().replace("ё", "е")).split())


def test_word_error_rate_moves_by_at_most_three_tenths_of_a_point(optimized: Path) -> None:
    directory = require_shared("models/mini/test")
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    spoken = [entry for entry in manifest if entry["filename"] != "lecture.wav"]
    clips = [(Window(log_mel(read_clip(directory / e["filename"])), 0), e["reference"]) for e in spoken]
    assert len(clips) == 40
    assert word_error_rate(optimized, clips) <= word_error_rate(FILES.encoder, clips) + MAX_POINTS


def test_an_encoder_costs_nothing_against_itself() -> None:
    judgement = judge_words(FILES, FILES.encoder, load_clips()[:5])
    assert judgement.before == judgement.after
    assert (judgement.points, judgement.is_good) == (0.0, True)
    assert 0.5 < judgement.before.confidence <= 1.0


@pytest.mark.parametrize(("errors", "good"), [(0, True), (102, True), (103, False)])
def test_more_than_two_tenths_of_a_point_are_refused(errors: int, good: bool) -> None:
    assert Judgement(Hearing(1000, 100, 0.9), Hearing(1000, errors, 0.9)).is_good is good


def test_words_of_a_model_that_hears_more_of_them_wrong_than_there_are_tell_nothing() -> None:
    judgement = Judgement(Hearing(1000, 1500, 0.9), Hearing(1000, 1600, 0.9))
    assert judgement.is_good
    assert not judgement.is_telling


@pytest.mark.parametrize(
    ("old", "new", "distance"),
    [("", "", 0), ("a b c", "a b c", 0), ("a b c", "a x c", 1), ("a b", "b", 1), ("", "a b", 2), ("a", "x " * 90, 90)],
)
def test_differing_words_are_never_more_than_there_are(old: str, new: str, distance: int) -> None:
    assert edit_distance(old.split(), new.split()) == edit_distance(new.split(), old.split()) == distance
