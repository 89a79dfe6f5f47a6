"""Tokens, times and text are those of onnx-asr, an independent decoder of the same files, in fp32.

Both let a frame emit three tokens at most. The directory loader of onnx-asr takes
GigaAM v2's front end unless a `config.json` says v3, as the published repository's does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx_asr
import onnxruntime as ort
import pytest

from gigastt.audio.pcm import SAMPLE_RATE, Samples
from gigastt.speech.features import log_mel
from gigastt.speech.recognizer import Recognizer
from gigastt.speech.tokens import FRAME_SAMPLES, Window, join_pieces
from tests.clips import Clip
from tests.recordings import DEMO_MODEL, bundled_clips, demo_clips, files_in, golos_clips, lecture, samples_of

pytestmark = pytest.mark.slow

_PIECE_SAMPLES = 20 * SAMPLE_RATE


class Reference:
    """onnx-asr on the demo model, one thread; remembers what it made of each recording."""

    def __init__(self, folder: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        model = onnx_asr.load_model("gigaam-v3-e2e-rnnt", str(folder), sess_options=options)
        self._model = model.with_timestamps()
        self._results: dict[str, Any] = {}

    def recognize(self, samples: Samples, name: str) -> Any:
        if name not in self._results:
            self._results[name] = self._model.recognize(samples.astype(np.float32) / np.float32(32768))
        return self._results[name]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("onnx_asr")
    for path in DEMO_MODEL.glob("v3_e2e_rnnt_*"):
        (folder / path.name).symlink_to(path)
    (folder / "config.json").write_text(json.dumps({"version": "v3"}), encoding="utf-8")
    return Reference(folder)


@pytest.fixture(scope="module", params=["weights", "graphs"])
def recognizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    """The demo model, searched in both ways."""
    folder = DEMO_MODEL
    if request.param == "graphs":
        folder = tmp_path_factory.mktemp("graphs")
        for path in DEMO_MODEL.glob("v3_e2e_rnnt_*"):
            if path.suffix != ".npy":
                (folder / path.name).symlink_to(path)
    recognizer = Recognizer.load(files_in(folder))
    assert recognizer.runs_graphs == (request.param == "graphs")
    return recognizer


def _assert_same(reference: Reference, recognizer: Recognizer, samples: Samples, name: str) -> None:
    expected = reference.recognize(samples, name)
    tokens = recognizer.transcribe(Window(log_mel(samples), 0)).tokens
    assert [token.piece.replace("▁", " ") for token in tokens] == expected.tokens, name
    times = [token.frame * FRAME_SAMPLES / SAMPLE_RATE for token in tokens]
    assert times == pytest.approx(expected.timestamps), name
    assert join_pieces([token.piece for token in tokens]) == expected.text, name


def _assert_all_same(reference: Reference, recognizer: Recognizer, clips: list[Clip]) -> None:
    for clip in clips:
        _assert_same(reference, recognizer, samples_of(clip), clip.path.name)


def test_bundled_clips_have_the_tokens_of_onnx_asr(reference: Reference, recognizer: Recognizer) -> None:
    _assert_all_same(reference, recognizer, bundled_clips())


def test_all_demo_clips_have_the_tokens_of_onnx_asr(reference: Reference, recognizer: Recognizer) -> None:
    _assert_all_same(reference, recognizer, demo_clips())


def test_all_golos_clips_have_the_tokens_of_onnx_asr(reference: Reference, recognizer: Recognizer) -> None:
    _assert_all_same(reference, recognizer, golos_clips())


def test_the_lecture_in_pieces_has_the_tokens_of_onnx_asr(reference: Reference, recognizer: Recognizer) -> None:
    samples = samples_of(lecture())
    for begin in range(0, len(samples), _PIECE_SAMPLES):
        _assert_same(reference, recognizer, samples[begin : begin + _PIECE_SAMPLES], f"lecture from {begin}")
