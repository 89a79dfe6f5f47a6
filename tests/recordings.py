"""Speech as samples: the bundled clips, the larger sets beside the checkout, and the demo model's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import gigastt.models
from gigastt.audio.pcm import Samples
from gigastt.speech.model import TripletFiles
from tests.clips import Clip, load_clips
from tests.shared import require_shared

DEMO_MODEL = Path(gigastt.models.__file__).resolve().parent / "demo"


def samples_of(clip: Clip) -> Samples:
    """Return a clip's samples, int16 at 16 kHz."""
    return np.frombuffer(clip.pcm, dtype="<i2")


def bundled_clips() -> list[Clip]:
    """Return the eight clips that ship with the tests."""
    return load_clips()


def demo_clips() -> list[Clip]:
    """Return the demo model's 40 test clips; skips where they are not at hand."""
    return load_clips(require_shared("models/mini/test"))


def lecture() -> Clip:
    """Return the demo model's lecture of 205 s, without its text; skips where it is not at hand."""
    return Clip(require_shared("models/mini/test/lecture.wav"), "")


def golos_clips() -> list[Clip]:
    """Return 15 clips of real people; skips where they are not at hand."""
    return load_clips(require_shared("audio/golos"))


def files_in(folder: Path) -> TripletFiles:
    """Return the fp32 files of a model folder."""
    return TripletFiles(
        encoder=folder / "v3_e2e_rnnt_encoder.onnx",
        decoder=folder / "v3_e2e_rnnt_decoder.onnx",
        joint=folder / "v3_e2e_rnnt_joint.onnx",
        vocabulary=folder / "v3_e2e_rnnt_vocab.txt",
    )
