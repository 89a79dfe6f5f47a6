"""The benchmark model has GigaAM v3's exact sizes, and is a model that the recogniser takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import make_model
from benchmarks.conformer import EncoderShape, write_encoder
from benchmarks.graph_writer import GraphWriter
from benchmarks.prediction import VOCABULARY, JointInput, vocabulary, write_decoder, write_joint
from gigastt.speech.hypothesis import Window
from gigastt.speech.model import TripletFiles
from gigastt.speech.recognizer import Recognizer

SMALL = EncoderShape(layers=2, width=64, heads=4)


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("small")
    make_model.make_model(directory, SMALL, seed=1, fitted_seconds=5.0)
    return directory


def test_encoder_of_sixteen_layers_has_the_published_number_of_parameters() -> None:
    none = write_encoder(EncoderShape(layers=0), seed=0)[1]
    one = write_encoder(EncoderShape(layers=1), seed=0)[1]
    assert none + 16 * (one - none) == make_model.ENCODER_PARAMETERS == 220_681_728


def test_decoder_and_joint_have_the_published_numbers_of_parameters() -> None:
    flat = JointInput(mean=np.zeros(768, np.float32), spread=1.0)
    assert write_decoder(seed=0)[1] == make_model.DECODER_PARAMETERS == 1_149_760
    assert write_joint(flat, seed=0, blank_bias=0.0)[1] == make_model.JOINT_PARAMETERS == 677_825


def test_vocabulary_has_1025_different_pieces_and_ends_with_the_blank() -> None:
    pieces = vocabulary()
    assert len(pieces) == len(set(pieces)) == VOCABULARY == 1025
    assert pieces[0] == "<unk>"
    assert pieces[-1] == "<blk>"


def test_same_seed_writes_the_same_files(small_model: Path, tmp_path: Path) -> None:
    make_model.make_model(tmp_path, SMALL, seed=1, fitted_seconds=5.0)
    for path in small_model.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_recogniser_takes_the_model_and_finds_tokens(small_model: Path) -> None:
    names = (f"v3_e2e_rnnt_{part}" for part in ("encoder.onnx", "decoder.onnx", "joint.onnx", "vocab.txt"))
    recognizer = Recognizer.load(TripletFiles(*(small_model / name for name in names)))
    features = make_model.speech_like_features(8.0, seed=5).T
    assert recognizer.transcribe(Window(np.ascontiguousarray(features), 0)).tokens


def test_table_of_positions_is_no_parameter() -> None:
    writer = GraphWriter("g", seed=0)
    writer.stored(np.zeros((10, 4), np.float32), "table", trained=False)
    writer.stored(np.zeros((3, 4), np.float32), "weight")
    assert writer.parameters == 12
