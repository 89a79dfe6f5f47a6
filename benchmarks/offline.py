"""Transcribe files on one core, end to end, against onnx-asr with the same model files.

    python -m benchmarks.offline DIR --clips CLIPS [--vad SILERO] [--rounds 3] [--minutes 10] [--core N]

DIR holds a model (see `benchmarks.encoder`), CLIPS speech as 16 kHz mono WAV. Loads: the clips one by one, and two
long files made of them, one dense and one with natural pauses. Ours is the whole pipeline: container, features,
detector, segments, encoder, search, words. onnx-asr gets

- clips: the samples, ready-made;
- our windows: of a long file the samples of the windows that ours encoded, with no work of its own to find them;
- windows of 20 s: a long file's path; all of it is encoded, in plain consecutive windows that cut words;
- Silero: a long file's path, with the voice activity detector that it brings support for, window by window (padded
  batches, its default, are slower here and wrong with an encoder without masks).

Speed is seconds of audio per second of processor time; medians of rounds that take turns. `encoded_seconds` says how
much of the audio goes through the encoder. Where CLIPS has a `manifest.json` of references, each contender's word error
rate stands beside its speed: a detector that drops speech is fast. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.long_files import as_wav, count_seconds, make_dense, make_natural
from benchmarks.peers import load_onnx_asr, load_silero, optimized_encoder
from benchmarks.pinned import machine, median_seconds, pin
from gigastt.audio.pcm import SAMPLE_RATE, Samples
from gigastt.models.catalog import DECODER, ENCODER_FP32, JOINT, VOCABULARY
from gigastt.models.prepacked import prepare_load
from gigastt.optimize.words import edit_distance, read_clip
from gigastt.scoring import normalise
from gigastt.speech.features import log_mel
from gigastt.speech.mapped_search import choose_network
from gigastt.speech.model import Encoder, Triplet, TripletFiles
from gigastt.speech.recognizer import Recognizer
from gigastt.speech.search import RunNetwork, Transducer
from gigastt.speech.tokens import FRAME_SAMPLES, EncoderOut, Features, Hypothesis, Vocabulary, Window
from gigastt.transcribe import TranscribedFile

PLAIN_SECONDS = 20
OURS = "gigastt"


@dataclass(frozen=True, slots=True)
class Peers:
    """onnx-asr with two encoders, and its voice activity detector where there is one."""

    optimized: Any
    fp32: Any
    vad: Any


@dataclass(frozen=True, slots=True)
class Load:
    """What is transcribed, by whom, how much of it each encodes, and what was said."""

    audio_seconds: float
    contenders: dict[str, Callable[[], str]]
    encoded_seconds: dict[str, float]
    reference: str

    def measure(self, rounds: int) -> dict[str, object]:
        """Return the speed of every contender, and how many times as fast ours is."""
        texts: dict[str, str] = {}

        def run(name: str) -> None:
            texts[name] = self.contenders[name]()

        medians = median_seconds({name: partial(run, name) for name in self.contenders}, rounds)
        figures: dict[str, object] = {
            "audio_seconds": round(self.audio_seconds, 1),
            "encoded_seconds": {name: round(seconds, 1) for name, seconds in self.encoded_seconds.items()},
            "times_real_time": {name: round(self.audio_seconds / median, 1) for name, median in medians.items()},
            "faster_than": {name: round(m / medians[OURS], 2) for name, m in medians.items() if name != OURS},
        }
        said = normalise(self.reference).split()
        if said:
            errors = {name: edit_distance(said, normalise(text).split()) / len(said) for name, text in texts.items()}
            figures["word_error_rate"] = {name: round(error, 4) for name, error in errors.items()}
        return figures


def measure(
    directory: Path, temporary: Path, clips: Sequence[Path], minutes: float, rounds: int, vad: Path | None
) -> dict[str, object]:
    """Run every load through every contender; returns speeds, ratios and the cost of each stage."""
    optimized = optimized_encoder(directory, temporary)
    triplet = _triplet(directory, asyncio.run(prepare_load(optimized)).encoder)
    ours = Recognizer.load(triplet)
    peers = Peers(
        load_onnx_asr(directory, optimized),
        load_onnx_asr(directory, directory / ENCODER_FP32),
        load_silero(vad) if vad is not None else None,
    )
    sounds, references = [read_clip(clip) for clip in clips], _references(clips)
    loads = {"clips": _clips(ours, peers, sounds, " ".join(references))}
    for name, make in (("dense", make_dense), ("natural", make_natural)):
        path, long = temporary / f"{name}.wav", make(sounds, minutes)
        path.write_bytes(as_wav(long.samples))
        said = " ".join(references[number] for number in long.clips)
        loads[name] = _long(ours, peers, path, said, with_fp32=name == "dense")
    figures: dict[str, object] = {name: load.measure(rounds) for name, load in loads.items()}
    return figures | {"stage_ms_per_second": stages(triplet, sounds, rounds)}


def _references(clips: Sequence[Path]) -> list[str]:
    """What is said in each clip, as the manifest beside them has it; nothing where there is none."""
    manifest = clips[0].with_name("manifest.json")
    entries = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else []
    said = {entry["filename"]: entry["reference"] for entry in entries}
    return [said.get(clip.name, "") for clip in clips]


def _clips(ours: Recognizer, peers: Peers, sounds: Sequence[Samples], said: str) -> Load:
    files = [as_wav(sound) for sound in sounds]
    encoded = [window for sound in sounds for window in _windows(ours, sound)]
    contenders: dict[str, Callable[[], str]] = {
        OURS: lambda: " ".join(_transcribe(ours, file) for file in files),
        "onnx-asr optimized": partial(_recognize, peers.optimized, sounds),
        "onnx-asr fp32": partial(_recognize, peers.fp32, sounds),
    }
    return Load(count_seconds(sounds), contenders, {OURS: count_seconds(encoded)}, said)


def _long(ours: Recognizer, peers: Peers, path: Path, said: str, *, with_fp32: bool) -> Load:
    samples = read_clip(path)
    windows = _windows(ours, samples)
    encoded = {OURS: count_seconds(windows)}
    contenders: dict[str, Callable[[], str]] = {
        OURS: lambda: _transcribe(ours, path.read_bytes()),
        "onnx-asr optimized, our windows": partial(_recognize, peers.optimized, windows),
        "onnx-asr optimized, windows of 20 s": lambda: _recognize(peers.optimized, _cut(read_clip(path))),
    }
    if peers.vad is not None:
        heard, name = peers.optimized.with_vad(peers.vad, batch_size=1), "onnx-asr optimized, Silero"
        contenders[name] = lambda: " ".join(segment.text for segment in heard.recognize(path))
        encoded[name] = sum(segment.end - segment.start for segment in heard.recognize(path))
    if with_fp32:
        contenders["onnx-asr fp32, our windows"] = partial(_recognize, peers.fp32, windows)
    return Load(len(samples) / SAMPLE_RATE, contenders, encoded, said)


def _cut(samples: Samples) -> list[Samples]:
    size = PLAIN_SECONDS * SAMPLE_RATE
    return [samples[begin : begin + size] for begin in range(0, len(samples), size)]


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
    costs = {name: round(median * 1e3 / count_seconds(sounds), 2) for name, median in medians.items()}
    return costs | {"tokens_per_second": round(tokens / count_seconds(sounds), 1)}


def _triplet(directory: Path, encoder: Path) -> TripletFiles:
    return TripletFiles(encoder, directory / DECODER, directory / JOINT, directory / VOCABULARY)


def _encode(encoder: Encoder, features: Features) -> EncoderOut:
    encoded, _ = encoder.encode(np.ascontiguousarray(features.T[None]), np.array([len(features)]))
    result: EncoderOut = encoded[0]
    return result


def _transcribe(recognizer: Recognizer, file: bytes) -> str:
    return " ".join(segment.text for segment in TranscribedFile(io.BytesIO(file), recognizer).segments())


def _recognize(peer: Any, sounds: Sequence[Samples]) -> str:
    return " ".join(peer.recognize(sound.astype(np.float32) / 32768) for sound in sounds)


def _windows(recognizer: Recognizer, samples: Samples) -> list[Samples]:
    """The audio of every window that our pipeline encodes, so that a peer can be given the same.

    Silence stands for the tail that ours makes up where the recording ends too early.
    """
    watching = _Watching(recognizer)
    list(TranscribedFile(io.BytesIO(as_wav(samples)), watching).segments())
    padded = np.concatenate((samples, np.zeros(SAMPLE_RATE, np.int16)))
    return [padded[begin * FRAME_SAMPLES : (begin + frames) * FRAME_SAMPLES] for begin, frames in watching.seen]


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
    parser.add_argument("--vad", type=Path, help="silero_vad.onnx, or its folder, for onnx-asr")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--core", type=int)
    arguments = parser.parse_args()
    core = pin(arguments.core)
    clips = sorted(arguments.clips.glob("*.wav"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        figures = measure(arguments.directory, folder, clips, arguments.minutes, arguments.rounds, arguments.vad)
    print(json.dumps({"machine": machine(core), **figures}))


if __name__ == "__main__":
    main()
