"""Time one encoder pass in every form of the encoder, on one core.

    python -m benchmarks.encoder DIR [--rounds 7] [--core N]

DIR holds a model with its fp32 encoder, and the optimised one if `gigastt optimize` has been there (otherwise it
is made in a temporary folder). Forms: fp32 as exported, `quantize_dynamic` as anyone would call it, the optimised
file, and onnx-asr's own encoder call on the fp32 and on the optimised file. All take turns in the same run; times
are medians. So does the machine's ceiling: the optimised file's matrix products alone, which nothing that computes
them with this library can beat; `ceiling` says how many times real time they are and what share of that the whole
encoder reaches. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.quantization import quantize_dynamic

from benchmarks.ceiling import Products
from benchmarks.make_model import speech_like_features
from benchmarks.peers import load_onnx_asr, optimized_encoder
from benchmarks.pinned import machine, median_seconds, pin, session_options
from gigastt.models.catalog import ENCODER_FP32

SECONDS = (0.96, 2.0, 5.0, 20.0)
CEILING = "products alone"
Encode = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]


def measure(directory: Path, rounds: int) -> dict[str, object]:
    """Time every form over every window; returns the figures by form."""
    with tempfile.TemporaryDirectory() as temporary:
        files = _files(directory, Path(temporary))
        forms: dict[str, Encode] = {name: _session(path) for name, path in files.items()}
        for name in ("fp32", "optimized"):
            forms[f"onnx-asr {name}"] = _onnx_asr(directory, files[name])
        products = Products(files["optimized"])
        milliseconds: dict[str, dict[str, float]] = {name: {} for name in (*forms, CEILING)}
        for seconds in SECONDS:
            features = speech_like_features(seconds, seed=5)[None]
            contenders: dict[str, Callable[[], object]] = {n: partial(run, features) for n, run in forms.items()}
            contenders[CEILING] = partial(products.run, features)
            for name, value in median_seconds(contenders, rounds).items():
                milliseconds[name][str(seconds)] = round(value * 1e3, 1)
        figures: dict[str, dict[str, object]] = {name: {"ms": milliseconds[name]} for name in forms}
        for name, path in files.items():
            figures[name]["mib"] = round(path.stat().st_size / 2**20, 1)
        features = speech_like_features(5.0, seed=6)[None]
        expected = forms["fp32"](features)
        for name in files:
            error = np.sqrt(np.mean((forms[name](features) - expected) ** 2) / np.mean(expected**2))
            figures[name]["relative_error"] = round(float(error), 4)
    speedups = {
        name: {window: round(milliseconds["fp32"][window] / value, 2) for window, value in milliseconds[name].items()}
        for name in forms
    }
    return {"encoders": figures, "speedup": speedups, "ceiling": _ceiling(milliseconds, products)}


def _ceiling(milliseconds: Mapping[str, Mapping[str, float]], products: Products) -> dict[str, dict[str, float]]:
    """What the products alone allow, and how near the optimised encoder comes, by window."""
    return {
        window: {
            "ms": alone,
            "ceiling_times_real_time": round(float(window) * 1e3 / alone, 1),
            "giga_products_per_second": round(products.per_frame * float(window) * 25 / alone / 1e6, 1),
            "optimized_times_real_time": round(float(window) * 1e3 / milliseconds["optimized"][window], 1),
            "share_reached": round(alone / milliseconds["optimized"][window], 3),
        }
        for window, alone in milliseconds[CEILING].items()
    }


def _files(directory: Path, temporary: Path) -> dict[str, Path]:
    """The encoder's files by form; what is missing is made."""
    fp32 = directory / ENCODER_FP32
    plain = temporary / "quantize_dynamic.onnx"
    logging.disable(logging.WARNING)  # it recommends its own preprocessing
    quantize_dynamic(fp32, plain)
    return {"fp32": fp32, "quantize_dynamic": plain, "optimized": optimized_encoder(directory, temporary)}


def _session(path: Path) -> Encode:
    session = onnxruntime.InferenceSession(path, session_options(), providers=["CPUExecutionProvider"])

    def encode(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        feed = {"audio_signal": features, "length": np.array([features.shape[2]])}
        encoded: npt.NDArray[np.float32] = session.run(None, feed)[0]
        return encoded

    return encode


def _onnx_asr(directory: Path, encoder: Path) -> Encode:
    model = load_onnx_asr(directory, encoder)

    def encode(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        encoded, _ = model.asr._encode(features, np.array([features.shape[2]]))  # no public call encodes alone
        result: npt.NDArray[np.float32] = encoded
        return result

    return encode


def main() -> None:
    parser = argparse.ArgumentParser(description="Time one encoder pass in every form, on one core.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--core", type=int)
    arguments = parser.parse_args()
    core = pin(arguments.core)
    print(json.dumps({"machine": machine(core), **measure(arguments.directory, arguments.rounds)}))


if __name__ == "__main__":
    main()
