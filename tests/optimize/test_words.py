"""The optimiser on a real export of another architecture: still valid, and the words stay."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jiwer
import pytest

from gigastt.optimize.encoder import optimize_encoder
from gigastt.optimize.words import CLIPS, WordComparison, compare_words, edit_distance, read_clip
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
    assert report.words is not None
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


def test_words_of_the_clips_that_come_along_stay(optimized: Path) -> None:
    comparison = compare_words(FILES, optimized)
    assert len(CLIPS) == 3
    assert comparison.words > 10
    assert comparison.differing <= 1


@pytest.mark.parametrize(
    ("old", "new", "distance"),
    [("", "", 0), ("a b c", "a b c", 0), ("a b c", "a x c", 1), ("a b", "b", 1), ("", "a b", 2), ("a", "x " * 90, 90)],
)
def test_differing_words_are_never_more_than_there_are(old: str, new: str, distance: int) -> None:
    assert edit_distance(old.split(), new.split()) == edit_distance(new.split(), old.split()) == distance


def test_share_of_no_words_is_none() -> None:
    assert WordComparison(0, 0).share == 0.0
