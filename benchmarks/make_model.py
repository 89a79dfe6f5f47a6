"""Make a model of exactly GigaAM v3's architecture with seeded random weights, for speed and memory alone.

    python -m benchmarks.make_model DIR [--seed 0] [--layers 16] [--no-masks]

Its transcripts mean nothing. Its shapes, its operators and, on speech, its tokens per second are the real ones:
the last through the joint's bias, which is fitted on feature noise with the rhythm of speech.
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

from benchmarks.conformer import MEL, EncoderShape, write_encoder
from benchmarks.prediction import PREDICTOR, SHARPNESS, VOCABULARY, JointInput, vocabulary, write_decoder, write_joint

ENCODER_PARAMETERS = 220_681_728
DECODER_PARAMETERS = 1_149_760
JOINT_PARAMETERS = 677_825
FITTED_SECONDS = 30.0
FITTED_TOKENS_PER_SECOND = 6.0  # on the noise below; gives about 4 on clips of real and of synthetic speech
MAX_SYMBOLS = 10
PREFIX = "v3_e2e_rnnt"
Array = npt.NDArray[np.float32]


def make_model(
    directory: Path, shape: EncoderShape, seed: int = 0, fitted_seconds: float = FITTED_SECONDS
) -> dict[str, int]:
    """Write encoder, decoder, joint and vocabulary into `directory`; returns parameters by part.

    Args:
        fitted_seconds: length of the noise that the joint's bias is fitted on.
    """
    directory.mkdir(parents=True, exist_ok=True)
    paths = {part: directory / f"{PREFIX}_{part}.onnx" for part in ("encoder", "decoder", "joint")}
    encoder, encoder_size = write_encoder(shape, seed)
    onnx.save(encoder, paths["encoder"])
    del encoder
    decoder, decoder_size = write_decoder(seed + 1)
    onnx.save(decoder, paths["decoder"])
    encoded = _encode(paths["encoder"], speech_like_features(fitted_seconds, seed + 2))
    enc = JointInput(mean=encoded.mean(axis=1), spread=float(encoded.std(axis=1).mean()))
    joint, joint_size = write_joint(enc, seed + 3, blank_bias=0.0)
    onnx.save(joint, paths["joint"])
    bias = _fit_blank_bias(paths["decoder"], paths["joint"], encoded)
    joint, joint_size = write_joint(enc, seed + 3, blank_bias=bias)
    onnx.save(joint, paths["joint"])
    lines = [f"{piece} {number}" for number, piece in enumerate(vocabulary())]
    (directory / f"{PREFIX}_vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if shape == EncoderShape(masks=shape.masks):
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


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _encode(path: Path, features: Array) -> Array:
    """Encode in pieces of 5 s, as a server would; returns [width, time]."""
    session = _session(path)
    pieces = [features[None, :, at : at + 500] for at in range(0, features.shape[1], 500)]
    runs = [session.run(None, {"audio_signal": p, "length": np.array([p.shape[2]])})[0][0] for p in pieces]
    return np.concatenate(runs, axis=1)


def _fit_blank_bias(decoder: Path, joint: Path, encoded: Array) -> float:
    """Bisect the bias of the blank until greedy search emits the wanted number of tokens a second."""
    search = _Greedy(_session(decoder), _session(joint))
    low, high = -4.0 * SHARPNESS, 12.0 * SHARPNESS
    for _ in range(9):
        bias = (low + high) / 2
        rate = search.count(encoded, bias) / (encoded.shape[1] * 0.04)
        low, high = (bias, high) if rate > FITTED_TOKENS_PER_SECOND else (low, bias)
    return (low + high) / 2


class _Greedy:
    def __init__(self, decoder: onnxruntime.InferenceSession, joint: onnxruntime.InferenceSession) -> None:
        self._decoder = decoder
        self._joint = joint

    def count(self, encoded: Array, blank_bias: float) -> int:
        """Tokens that greedy search, at most 10 a frame, emits when `blank_bias` is added to the blank."""
        state = np.zeros((1, 1, PREDICTOR), np.float32)
        dec, h, c = self._decoder.run(None, {"x": np.array([[VOCABULARY - 1]]), "h.1": state, "c.1": state})
        count = 0
        for time in range(encoded.shape[1]):
            enc = encoded[None, :, time : time + 1]
            for _ in range(MAX_SYMBOLS):
                scores = self._joint.run(None, {"enc": enc, "dec": dec.transpose(0, 2, 1)})[0].ravel()
                scores[-1] += blank_bias
                token = int(scores.argmax())
                if token == VOCABULARY - 1:
                    break
                count += 1
                dec, h, c = self._decoder.run(None, {"x": np.array([[token]]), "h.1": h, "c.1": c})
            if count > 10 * FITTED_TOKENS_PER_SECOND * encoded.shape[1] * 0.04:
                break  # far too many already
        return count


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a model of GigaAM v3's shapes with random weights.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layers", type=int, default=EncoderShape().layers, help="fewer than 16: for tests")
    parser.add_argument("--no-masks", action="store_true", help="as exported from a trace with a batch of one")
    arguments = parser.parse_args()
    shape = replace(EncoderShape(), layers=arguments.layers, masks=not arguments.no_masks)
    parameters = make_model(arguments.directory, shape, arguments.seed)
    sizes = {path.name: path.stat().st_size for path in sorted(arguments.directory.glob(f"{PREFIX}_*"))}
    print(json.dumps({"parameters": parameters, "bytes": sizes, "seed": arguments.seed}))


if __name__ == "__main__":
    main()
