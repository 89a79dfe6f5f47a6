"""How soon words become stable, and how often they change all the same: `python -m benchmarks.stability`.

Plays clips through a stream at the pace of a microphone, without a server: every `--cadence-ms` of audio one
partial pass runs, as on an idle machine, and the finals' own passes. Prints one JSON object.

    stable_before_final    words of finals that were already stable in the last partial, of all words
    changed_by_final       stable words that the final has otherwise, of all stable words
    changed_by_partial     stable words that a later partial has otherwise; 0 by construction
    burst                  new words in one partial: mean and largest
    encoded                seconds encoded for partials and for finals, per second of audio
"""

from __future__ import annotations

import argparse
import json
import re
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.wording import unmatched
from gigastt.audio.pcm import SAMPLE_RATE, Samples
from gigastt.speech.activity import ActivityDetector, ActivityModel
from gigastt.speech.model import TripletFiles
from gigastt.speech.recognizer import Recognizer
from gigastt.speech.stream import Stream
from gigastt.transcript import Options, Partial

DEMO = Path(__file__).resolve().parent.parent / "gigastt" / "models" / "demo"
CHUNK_MS = 100


@dataclass
class Counts:
    """Sums over all utterances."""

    words: int = 0
    stable: int = 0
    stable_before_silence: int = 0
    changed_by_final: int = 0
    changed_strictly: int = 0
    changed_by_partial: int = 0
    partials: int = 0
    partial_seconds: float = 0.0
    final_seconds: float = 0.0
    audio_seconds: float = 0.0
    bursts: list[int] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)


class Player:
    """Play one recording through one stream."""

    def __init__(self, recognizer: Recognizer, model: ActivityModel, counts: Counts, cadence_ms: int) -> None:
        self._recognizer = recognizer
        self._stream = Stream(Options(), lambda: ActivityDetector(model))
        self._counts = counts
        self._cadence = cadence_ms
        self._shown: list[str] = []
        self._stable: list[str] = []

    def play(self, samples: Samples) -> None:
        """Push all samples in chunks of 100 ms and run the passes that are due."""
        self._counts.audio_seconds += len(samples) / SAMPLE_RATE
        since = self._cadence
        for chunk in _chunks(samples):
            self._stream.push(chunk)
            since += CHUNK_MS
            self._take_finals()
            if since >= self._cadence and self._take_partial():
                since = 0
        self._stream.finish()
        self._take_finals()

    def _take_partial(self) -> bool:
        window = self._stream.next_partial()
        if window is None:
            return False
        result = self._stream.accept_partial(window, self._recognizer.transcribe(window), alone=True)
        self._counts.partials += 1
        self._counts.partial_seconds += len(window.features) / 100
        if result is not None:
            self._note(result, window.first_frame + len(window.features))
        return True

    def _note(self, result: Partial, end: int) -> None:
        words = [word.text for word in result.words]
        self._counts.changed_by_partial += self._stable != words[: len(self._stable)]
        self._counts.bursts.append(max(0, len(words) - len(self._shown)))
        for word in result.words[len(self._stable) : result.stable]:
            self._counts.delays.append(end / 100 - word.end)
        self._shown, self._stable = words, words[: result.stable]

    def _take_finals(self) -> None:
        while (utterance := self._stream.next_final()) is not None:
            hypothesis = utterance.hypothesis
            if hypothesis is None:
                hypothesis = self._recognizer.transcribe(utterance.window)
                self._counts.final_seconds += len(utterance.window.features) / 100
            final = self._stream.accept_final(utterance, hypothesis)
            if final is None:
                continue
            words = [word.text for word in final.words]
            self._counts.words += len(words)
            self._counts.stable += len(self._stable)
            self._counts.changed_strictly += unmatched(self._stable, words)
            self._counts.changed_by_final += unmatched(_plain(self._stable), _plain(words))
            self._shown, self._stable = [], []


def _plain(words: Sequence[str]) -> list[str]:
    return [re.sub(r"[^\w]", "", word.lower().replace("ё", "е")) for word in words]


def _chunks(samples: Samples) -> Iterator[Samples]:
    size = SAMPLE_RATE * CHUNK_MS // 1000
    for begin in range(0, len(samples), size):
        yield samples[begin : begin + size]


def read_wav(path: Path) -> Samples:
    """Read a 16 kHz mono PCM16 file."""
    with wave.open(str(path)) as wav:
        return np.frombuffer(wav.readframes(wav.getnframes()), dtype="<i2").astype(np.int16)


def measure(recognizer: Recognizer, recordings: Sequence[Samples], cadence_ms: int) -> dict[str, object]:
    """Play every recording and return the figures."""
    counts = Counts()
    model = ActivityModel.load()
    for samples in recordings:
        Player(recognizer, model, counts, cadence_ms).play(samples)
    return {
        "cadence_ms": cadence_ms,
        "words": counts.words,
        "stable_before_final": round(counts.stable / max(1, counts.words), 4),
        "changed_by_final": round(counts.changed_by_final / max(1, counts.stable), 4),
        "changed_by_final_with_punctuation": round(counts.changed_strictly / max(1, counts.stable), 4),
        "changed_by_partial": counts.changed_by_partial,
        "partials": counts.partials,
        "burst_mean": round(float(np.mean(counts.bursts)), 3),
        "burst_largest": max(counts.bursts),
        "stable_after_seconds_p50": round(float(np.median(counts.delays)), 3),
        "stable_after_seconds_p90": round(float(np.percentile(counts.delays, 90)), 3),
        "encoded_for_partials": round(counts.partial_seconds / counts.audio_seconds, 2),
        "encoded_for_finals": round(counts.final_seconds / counts.audio_seconds, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+", help="16 kHz mono PCM16 files, or folders of them")
    parser.add_argument("--model-dir", type=Path, default=DEMO)
    parser.add_argument("--cadence-ms", type=int, default=400)
    arguments = parser.parse_args()
    paths = [path for entry in arguments.clips for path in (sorted(entry.glob("*.wav")) if entry.is_dir() else [entry])]
    files = TripletFiles(
        *(
            arguments.model_dir / f"v3_e2e_rnnt_{part}"
            for part in ("encoder.onnx", "decoder.onnx", "joint.onnx", "vocab.txt")
        )
    )
    print(
        json.dumps(measure(Recognizer.load(files), [read_wav(path) for path in paths], arguments.cadence_ms), indent=1)
    )


if __name__ == "__main__":
    main()
