"""Count the utterances of recordings that are left out: `python -m tools.activity.dropped --clips DIR [--model demo]`.

Every WAV file below the folder is transcribed as it is, 30 dB quieter, and in white noise of 10 dB. All of them should
hold speech: whatever is dropped is a fault. Prints one JSON object a condition, and each utterance dropped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gigastt.audio.decode import decode
from gigastt.audio.pcm import Samples
from gigastt.config import DEMO_MODEL, Settings
from gigastt.errors import InvalidAudio
from gigastt.speech.recording import transcribe_recording
from gigastt.transcribe import load_recognizer
from tools.activity.channels import from_decibels

MAX_SECONDS = 3600.0


def quieter(samples: Samples) -> Samples:
    """Take 30 dB away."""
    return np.rint(samples * from_decibels(-30.0)).astype(np.int16)


def in_noise(samples: Samples) -> Samples:
    """Add white noise 10 dB below the recording's own level."""
    noise = np.random.default_rng(1).standard_normal(len(samples))
    level = np.sqrt(np.mean(samples.astype(np.float64) ** 2)) * from_decibels(-10.0)
    return np.clip(np.rint(samples + noise * level), -32_768, 32_767).astype(np.int16)


CONDITIONS: dict[str, Callable[[Samples], Samples]] = {
    "as it is": lambda samples: samples,
    "30 dB quieter": quieter,
    "white noise of 10 dB": in_noise,
}


def read(path: Path) -> Samples | None:
    """Decode a file; None where it holds no audio at all."""
    try:
        with path.open("rb") as file:
            return np.concatenate(list(decode(file, MAX_SECONDS)))
    except InvalidAudio:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--model", default=DEMO_MODEL)
    parser.add_argument("--model-dir", type=Path, default=Settings().model_dir)
    arguments = parser.parse_args()
    _, recognizer = load_recognizer(arguments.model, arguments.model_dir)
    recordings = [(path, read(path)) for path in sorted(arguments.clips.rglob("*.wav"))]
    for name, change in CONDITIONS.items():
        told = 0
        dropped: list[dict[str, object]] = []
        for path, samples in recordings:
            if samples is None:
                continue
            for final in transcribe_recording(recognizer, [change(samples)]):
                told += bool(final.words)
                if final.drop:
                    dropped.append({"file": path.name, "reason": final.drop, "start": final.start, "end": final.end})
        figures = {"condition": name, "files": len(recordings), "told": told, "dropped": len(dropped)}
        print(json.dumps(figures | {"which": dropped}, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
