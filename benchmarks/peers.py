"""The model files of a measurement, and onnx-asr on the same files as its yardstick."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import onnx_asr

from benchmarks.pinned import session_options
from gigastt.models.catalog import DECODER, ENCODER_FP32, ENCODER_OPTIMIZED, JOINT, VOCABULARY
from gigastt.optimize.encoder import optimize_encoder


def optimized_encoder(directory: Path, temporary: Path) -> Path:
    """The optimised encoder of a model; made in `temporary` where `gigastt optimize` has not been there."""
    made = directory / ENCODER_OPTIMIZED
    if made.is_file():
        return made
    optimize_encoder(directory / ENCODER_FP32, temporary / ENCODER_OPTIMIZED)
    return temporary / ENCODER_OPTIMIZED


def load_onnx_asr(directory: Path, encoder: Path) -> Any:
    """Load a model into onnx-asr with `encoder` in place of its fp32 one, one thread a session."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / ENCODER_FP32).symlink_to(encoder.resolve())
        for name in (DECODER, JOINT, VOCABULARY):
            (folder / name).symlink_to((directory / name).resolve())
        (folder / "config.json").write_text('{"version": "v3"}', encoding="utf-8")  # else it takes v2's front end
        return onnx_asr.load_model("gigaam-v3-e2e-rnnt", folder, sess_options=session_options())


def load_silero(vad: Path) -> Any:
    """Load onnx-asr's voice activity detector, one thread.

    Args:
        vad: `silero_vad.onnx`, or the folder it is in.
    """
    folder = vad if vad.is_dir() else vad.parent
    return onnx_asr.load_vad("silero", folder, sess_options=session_options())
