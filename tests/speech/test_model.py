"""The triplet's contract: which exports are taken, and which sentence refuses the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from gigastt.errors import InferenceError, ModelInvalid
from gigastt.speech.model import Decoder, Encoder, Joint, Triplet
from tests.fakes.triplet import (
    DIM,
    STATE,
    VOCABULARY,
    write_decoder,
    write_encoder,
    write_joint,
    write_triplet,
)
from tests.recordings import DEMO_MODEL, files_in


def _features(batch: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    features = np.random.default_rng(5).standard_normal((batch, 64, frames)).astype(np.float32)
    return features, np.full(batch, frames, dtype=np.int64)


def test_sizes_are_read_off_the_files() -> None:
    triplet = Triplet.load(files_in(DEMO_MODEL))
    assert (triplet.encoder.dim, triplet.decoder.state_size, triplet.joint.vocabulary_size) == (144, 320, 193)


def test_encoder_gives_a_frame_for_every_four(tmp_path: Path) -> None:
    encoder = Triplet.load(write_triplet(tmp_path)).encoder
    encoded, lengths = encoder.encode(*_features(3, 42))
    assert encoded.shape == (3, DIM, 10)
    assert lengths.tolist() == [10, 10, 10]


@pytest.mark.parametrize("batch", [1, "batch"])
@pytest.mark.parametrize(
    "names",
    [
        ("x", "h.1", "c.1", "dec", "h", "c"),
        ("x", "h", "c", "dec", "h_out", "c_out"),
        ("x", "hi", "ci", "dec", "ho", "co"),
        ("token", "state_h", "state_c", "out", "next_h", "next_c"),
    ],
)
def test_recurrent_inputs_of_any_name_are_taken_by_position(
    tmp_path: Path, names: tuple[str, ...], batch: int | str
) -> None:
    write_decoder(tmp_path / "plain.onnx")
    write_decoder(tmp_path / "named.onnx", names=names, batch=batch)
    h, c = np.random.default_rng(1).standard_normal((2, STATE)).astype(np.float32)
    plain = Decoder(tmp_path / "plain.onnx").predict(2, h, c)
    named = Decoder(tmp_path / "named.onnx").predict(2, h, c)
    assert np.array_equal(plain.dec, named.dec)
    assert np.array_equal(plain.h, named.h)
    assert np.array_equal(plain.c, named.c)


def test_encoder_exported_with_a_batch_of_one_says_so(tmp_path: Path) -> None:
    write_encoder(tmp_path / "one.onnx", batch=1)
    write_encoder(tmp_path / "any.onnx")
    assert Encoder(tmp_path / "one.onnx").max_batch == 1
    assert Encoder(tmp_path / "any.onnx").max_batch is None


def test_joint_of_other_names_is_taken_by_position(tmp_path: Path) -> None:
    write_joint(tmp_path / "joint.onnx", names=("frames", "prediction", "scores"), batch=1)
    joint = Joint(tmp_path / "joint.onnx", encoder_dim=DIM, state_size=STATE)
    assert joint.vocabulary_size == VOCABULARY


def test_session_config_reaches_onnxruntime(tmp_path: Path) -> None:
    files = write_triplet(tmp_path)
    with pytest.raises(ModelInvalid, match=r"cannot load"):
        Encoder(files.encoder, session_config={"session.load_model_format": "ORT"})


def _load_encoder(path: Path) -> object:
    return Encoder(path)


def _load_decoder(path: Path) -> object:
    return Decoder(path)


def _load_joint(path: Path) -> object:
    return Joint(path, encoder_dim=DIM, state_size=STATE)


@pytest.mark.parametrize(
    ("write", "load", "sentence"),
    [
        (lambda path: path.write_bytes(b"<html>"), _load_encoder, r"Expected an ONNX graph in part\.onnx"),
        (lambda path: None, _load_decoder, r"Expected an ONNX graph in part\.onnx"),
        (write_decoder, _load_encoder, r"Expected inputs audio_signal, length in part\.onnx, but it has x, h\.1, c\.1"),
        (write_encoder, _load_decoder, r"Expected inputs x, h\.1, c\.1"),
        (write_encoder, _load_joint, r"Expected input dec float32"),
        (lambda path: write_encoder(path, mels=80), _load_encoder, r"\[any, 64, any\].* \[batch, 80, time\]"),
        (
            lambda path: write_encoder(path, length_type=TensorProto.INT64),
            _load_encoder,
            r"Expected output encoded_len int32 \[any\].*tensor\(int64\)",
        ),
        (
            lambda path: write_decoder(path, token_type=TensorProto.INT32),
            _load_decoder,
            r"Expected input x int64.*tensor\(int32\)",
        ),
        (lambda path: write_decoder(path, state="size"), _load_decoder, r"state of fixed size.*'size'"),
        (lambda path: write_joint(path, dim=DIM + 1), _load_joint, r"part\.onnx fails its trial run"),
    ],
)
def test_a_file_that_breaks_the_contract_is_refused_with_a_reason(
    tmp_path: Path, write: Callable[[Path], object], load: Callable[[Path], object], sentence: str
) -> None:
    path = tmp_path / "part.onnx"
    write(path)
    with pytest.raises(ModelInvalid, match=sentence):
        load(path)


def test_a_refused_input_fails_the_call_and_leaves_the_session_usable(tmp_path: Path) -> None:
    encoder = Triplet.load(write_triplet(tmp_path)).encoder
    with pytest.raises(InferenceError, match=r"failed to run tiny_encoder\.onnx on float32 \[1, 63, 40\]"):
        encoder.encode(np.zeros((1, 63, 40), dtype=np.float32), np.array([40], dtype=np.int64))
    encoded, _ = encoder.encode(*_features(1, 40))
    assert encoded.shape == (1, DIM, 10)


def test_lengths_beyond_the_encoder_frames_fail_the_call(tmp_path: Path) -> None:
    encoder = Triplet.load(write_triplet(tmp_path)).encoder
    features, _ = _features(1, 40)
    with pytest.raises(InferenceError, match=r"encoded_len of tiny_encoder\.onnx to be at most 10"):
        encoder.encode(features, np.array([400], dtype=np.int64))
