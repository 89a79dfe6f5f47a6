"""Transcribe files on one core, end to end, against onnx-asr with the same model files.

    python -m benchmarks.offline DIR --clips CLIPS [--rounds 3] [--minutes 10] [--core N]

DIR holds a model (see `benchmarks.encoder`), CLIPS speech as 16 kHz mono WAV. Two loads: the clips one by one, and
one long file made of them with pauses. Ours is the whole pipeline: container, features, detector, segments,
encoder, search, words. onnx-asr gets the samples ready-made, and of the long file the windows that ours encoded
(it has no segmenter of its own). Speed is seconds of audio per second; medians of rounds that take turns.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import wave
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import load_onnx_asr, optimized_encoder
from benchmarks.pinned import machine, median_seconds, pin
from gigastt.models.catalog import DECODER, ENCODER_FP32, JOINT, VOCABULARY
from gigastt.models.optimize.words import read_clip
from gigastt.models.prepacked import prepare_load
from gigastt.speech.features import log_mel
from gigastt.speech.hypothesis import FRAME_SAMPLES, SAMPLE_RATE, EncoderOut, Features, Hypothesis, Samples, Window
from gigastt.speech.model import Encoder, Triplet, TripletFiles
from gigastt.speech.recognizer import Recognizer
from gigastt.speech.search_weights import choose_network
from gigastt.speech.transducer import RunNetwork, Transducer
from gigastt.speech.vocabulary import Vocabulary
from gigastt.transcribe import Recording, Segment

PAUSE_SECONDS = 0.8


def measure(directory: Path, optimized: Path, clips: Sequence[Path], minutes: float, rounds: int) -> dict[str, object]:
    """Run both loads through every contender; returns speeds, ratios and the cost of each stage."""
    fp32 = directory / ENCODER_FP32
    triplet = _triplet(directory, prepare_load(optimized).encoder)
    ours = Recognizer.load(triplet)
    peers = {f"onnx-asr {encoder.stem}": load_onnx_asr(directory, encoder) for encoder in (optimized, fp32)}
    sounds = [read_clip(clip) for clip in clips]
    long = _join(sounds, minutes)
    long_file = _as_wav(long)
    pieces = _windows(ours, long, long_file)
    loads: dict[str, tuple[float, dict[str, Callable[[], object]]]] = {
        "clips": (_seconds(sounds), {"gigastt": lambda: [_transcribe(ours, _as_wav(sound)) for sound in sounds]}),
        "long": (_seconds([long]), {"gigastt": lambda: _transcribe(ours, long_file)}),
    }
    for name, peer in peers.items():
        loads["clips"][1][name] = partial(_recognize, peer, sounds)
        loads["long"][1][name] = partial(_recognize, peer, pieces)
    figures: dict[str, object] = {"windows": len(pieces), "window_seconds": round(_seconds(pieces), 1)}
    for load, (seconds, contenders) in loads.items():
        medians = median_seconds(contenders, rounds)
        figures[load] = {
            "audio_seconds": round(seconds, 1),
            "times_real_time": {name: round(seconds / median, 1) for name, median in medians.items()},
            "faster_than": {n: round(m / medians["gigastt"], 2) for n, m in medians.items() if n != "gigastt"},
        }
    return figures | {"stage_ms_per_second": stages(triplet, sounds, rounds)}


def stages(files: TripletFiles, sounds: Sequence[Samples], rounds: int) -> dict[str, float]:
    """Milliseconds per second of audio of features, encoder and search, each alone."""
    triplet = Triplet.load(files)
    network = choose_network(files, RunNetwork(triplet.decoder, triplet.joint), triplet.encoder.dim)
    search = Transducer(network, Vocabulary.load(files.vocabulary))
    features = [log_mel(sound) for sound in sounds]
    encoded = [_encode(triplet.encoder, feature) for feature in features]
    medians = median_seconds(
        {
            "features": lambda: [log_mel(sound) for sound in sounds],
            "encoder": lambda: [_encode(triplet.encoder, feature) for feature in features],
            "search": lambda: [search.search(out, 0, 0, None) for out in encoded],
        },
        rounds,
    )
    tokens = sum(len(search.search(out, 0, 0, None).tokens) for out in encoded)
    costs = {name: round(median * 1e3 / _seconds(sounds), 2) for name, median in medians.items()}
    return costs | {"tokens_per_second": round(tokens / _seconds(sounds), 1)}


def _triplet(directory: Path, encoder: Path) -> TripletFiles:
    return TripletFiles(encoder, directory / DECODER, directory / JOINT, directory / VOCABULARY)


def _encode(encoder: Encoder, features: Features) -> EncoderOut:
    encoded, _ = encoder.encode(np.ascontiguousarray(features.T[None]), np.array([len(features)]))
    result: EncoderOut = encoded[0]
    return result


def _transcribe(recognizer: Recognizer, file: bytes) -> list[Segment]:
    return list(Recording(io.BytesIO(file), recognizer).segments())


def _recognize(peer: Any, sounds: Sequence[Samples]) -> list[str]:
    return [peer.recognize(sound.astype(np.float32) / 32768) for sound in sounds]


def _join(sounds: Sequence[Samples], minutes: float) -> Samples:
    """Repeat the clips with pauses of quiet noise until the length is reached."""
    quiet = np.random.default_rng(0).normal(0, 8, int(PAUSE_SECONDS * SAMPLE_RATE)).astype(np.int16)
    parts: list[Samples] = []
    while _seconds(parts) < minutes * 60:
        parts += [sounds[len(parts) // 2 % len(sounds)], quiet]
    return np.concatenate(parts)[: int(minutes * 60 * SAMPLE_RATE)]


def _as_wav(samples: Samples) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return content.getvalue()


def _seconds(sounds: Sequence[Samples]) -> float:
    return sum(map(len, sounds)) / SAMPLE_RATE


def _windows(recognizer: Recognizer, samples: Samples, file: bytes) -> list[Samples]:
    """The audio of every window that our pipeline encodes, so that a peer can be given the same."""
    watching = _Watching(recognizer)
    list(Recording(io.BytesIO(file), watching).segments())
    return [samples[begin * FRAME_SAMPLES : (begin + frames) * FRAME_SAMPLES] for begin, frames in watching.seen]


class _Watching:
    """A recogniser that writes down which frames it was given."""

    def __init__(self, recognizer: Recognizer) -> None:
        self._recognizer = recognizer
        self.seen: list[tuple[int, int]] = []

    def transcribe(self, window: Window) -> Hypothesis:
        self.seen.append((window.first_frame, len(window.features)))
        return self._recognizer.transcribe(window)


def main() -> None:
    parser = argparse.ArgumentParser(description="Transcribe files on one core, end to end, against onnx-asr.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--clips", type=Path, required=True, help="a folder of WAV files, 16 kHz mono")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--core", type=int)
    arguments = parser.parse_args()
    core = pin(arguments.core)
    clips = sorted(arguments.clips.glob("*.wav"))
    with tempfile.TemporaryDirectory() as temporary:
        optimized = optimized_encoder(arguments.directory, Path(temporary))
        figures = measure(arguments.directory, optimized, clips, arguments.minutes, arguments.rounds)
    print(json.dumps({"machine": machine(core), **figures}))


if __name__ == "__main__":
    main()
