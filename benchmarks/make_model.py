"""Make a model of exactly GigaAM v3's architecture with seeded random weights, for speed and memory alone.

    python -m benchmarks.make_model DIR [--seed 0] [--layers 16] [--form published]

Its transcripts mean nothing. Its shapes and its operators are the real ones, and on speech its tokens come as those
of a real model do: soon after the onset, about 4 a second, none in silence, surely (`cues` says how).
Writes the four files that the recogniser reads and prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from benchmarks import cues
from benchmarks.conformer import FORMS, MEL, EncoderShape, write_encoder
from benchmarks.prediction import JointInput, deal_tokens, vocabulary, write_decoder, write_joint

ENCODER_PARAMETERS = 220_681_728
DECODER_PARAMETERS = 1_149_760
JOINT_PARAMETERS = 677_825
FITTED_SECONDS = 10.0
PREFIX = "v3_e2e_rnnt"
Array = npt.NDArray[np.float32]


def make_model(
    directory: Path, shape: EncoderShape, seed: int = 0, fitted_seconds: float = FITTED_SECONDS
) -> dict[str, int]:
    """Write encoder, decoder, joint and vocabulary into `directory`; returns parameters by part.

    Args:
        fitted_seconds: length of the noise on which the joint is fitted to the encoder.
    """
    directory.mkdir(parents=True, exist_ok=True)
    paths = {part: directory / f"{PREFIX}_{part}.onnx" for part in ("encoder", "decoder", "joint")}
    encoder, encoder_size = write_encoder(shape, seed)
    onnx.save(encoder, paths["encoder"])
    del encoder
    tokens = deal_tokens(seed)
    decoder, decoder_size = write_decoder(tokens, seed + 1)
    onnx.save(decoder, paths["decoder"])
    encoded = _encode(paths["encoder"], speech_like_features(fitted_seconds, seed + 2))
    enc = JointInput(encoded.mean(axis=1), float(encoded.std(axis=1).mean()), cues.get_scale(encoded))
    joint, joint_size = write_joint(enc, tokens, seed + 3)
    onnx.save(joint, paths["joint"])
    lines = [f"{piece} {number}" for number, piece in enumerate(vocabulary())]
    (directory / f"{PREFIX}_vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if shape == EncoderShape(form=shape.form):
        assert encoder_size == ENCODER_PARAMETERS, encoder_size
        assert joint_size == JOINT_PARAMETERS, joint_size
    assert decoder_size == DECODER_PARAMETERS, decoder_size
    return {"encoder": encoder_size, "decoder": decoder_size, "joint": joint_size}


def speech_like_features(seconds: float, seed: int) -> Array:
    """Log-mel-like noise [64, frames] with speech's level, spread, spectral smoothness and syllable rhythm."""
    random = np.random.default_rng(seed)
    frames = int(seconds * 100)
    noise = _smooth(_smooth(random.standard_normal((MEL, frames)), 0, 5), 1, 9)
    loudness = _smooth(random.standard_normal((1, frames)), 1, 25)
    tilt = np.linspace(1.0, -1.0, MEL)[:, None]
    fine = random.standard_normal((MEL, frames))
    return (-6.5 + 2.4 * noise + 2.2 * loudness + 1.4 * tilt + 1.0 * fine).astype(np.float32)


def _smooth(values: npt.NDArray[np.float64], axis: int, width: int) -> npt.NDArray[np.float64]:
    """Average over `width` neighbours, back at unit variance."""
    kernel = np.hanning(width + 2)[1:-1]
    smoothed = np.apply_along_axis(np.convolve, axis, values, kernel, mode="same")
    return np.asarray(smoothed / smoothed.std(), np.float64)


def _encode(path: Path, features: Array) -> Array:
    """Encode in pieces of 5 s, as a server would; returns [width, time]."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    pieces = [features[None, :, at : at + 500] for at in range(0, features.shape[1], 500)]
    runs = [session.run(None, {"audio_signal": p, "length": np.array([p.shape[2]])})[0][0] for p in pieces]
    return np.concatenate(runs, axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a model of GigaAM v3's shapes with random weights.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layers", type=int, default=EncoderShape().layers, help="fewer than 16: for tests")
    parser.add_argument("--form", choices=FORMS, default=EncoderShape().form, help="of which exporter's operators")
    arguments = parser.parse_args()
    shape = replace(EncoderShape(), layers=arguments.layers, form=arguments.form)
    parameters = make_model(arguments.directory, shape, arguments.seed)
    sizes = {path.name: path.stat().st_size for path in sorted(arguments.directory.glob(f"{PREFIX}_*"))}
    print(json.dumps({"parameters": parameters, "bytes": sizes, "seed": arguments.seed}))


if __name__ == "__main__":
    main()
