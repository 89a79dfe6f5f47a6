"""Teach the small speaker model which differences are of the person, and which of the words and the room.

    python -m tools.speaker_calibration RAW.onnx OUT.onnx --golos DIR [--seeds 100 110]

Makes the conversations of `benchmarks.speakers` with seeds that no measurement uses, hears the voices in them with the
model as it was exported, and appends to it: the mean over speakers is taken off, and what varies within speakers is
weighed down (within-class covariance normalisation, shrunk half-way to a multiple of the identity). The result is a
model like any other; its vectors are of use with those of no earlier one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from benchmarks.conversations import SpokenTurn, make_talk
from benchmarks.speakers import PEOPLE, choose_voices, collect_voices
from gigastt.models.speaker_models import resolve_speakers
from gigastt.speech.recording import transcribe_recording
from gigastt.speech.voices import VoiceModel
from gigastt.transcribe import load_recognizer
from gigastt.transcript import Options, Voice

_LEAST_ALONE = 0.5  # seconds of a voice
_PURE = 0.85  # of a voice's frames that one person speaks
_SHRINKAGE = 1.0  # how much of the mean variance is added to every direction

Vectors = npt.NDArray[np.float64]


def hear(raw: Path, golos: Path, clips: Path, seeds: range) -> Iterator[tuple[str, Vectors]]:
    """Yield who speaks, and the vector, of each voice that is heard alone."""
    _, recognizer = load_recognizer("demo", Path())
    files = resolve_speakers(str(raw), Path())
    assert files is not None, "a model is named"
    model = VoiceModel(files.embedding, files.segmentation)
    people = collect_voices(golos, clips)
    for count in PEOPLE:
        for seed in seeds:
            chosen = choose_voices(people, count, seed)
            rate = 16_000 if seed % 2 == 0 else 8_000
            talk = make_talk(chosen, seed, seconds=max(60, 14 * count), rate=rate)
            options = Options(partials=False, diarization=True)
            for final in transcribe_recording(recognizer, [talk.samples], options, voices=model):
                for voice in final.voices:
                    if voice.alone >= _LEAST_ALONE and (name := _speaker_of(voice, talk.turns)) is not None:
                        yield name, np.frombuffer(voice.embedding, "<f2").astype(np.float64)


def _speaker_of(voice: Voice, turns: Sequence[SpokenTurn]) -> str | None:
    """Return who speaks nearly all of a voice's frames."""
    seconds: dict[str, float] = {}
    for begin, end in zip(voice.spans[::2], voice.spans[1::2], strict=True):
        for turn in turns:
            overlap = min(end / 100, turn.end) - max(begin / 100, turn.start)
            seconds[turn.speaker] = seconds.get(turn.speaker, 0.0) + max(0.0, overlap)
    best = max(seconds, key=lambda name: seconds[name])
    return best if seconds[best] > _PURE * sum(seconds.values()) else None


def learn(heard: Sequence[tuple[str, Vectors]]) -> tuple[Vectors, Vectors]:
    """Return the mean over speakers, [size], and the matrix that whitens what varies within them, [size, size]."""
    groups: dict[str, list[Vectors]] = {}
    for name, vector in heard:
        groups.setdefault(name, []).append(vector)
    stacked = {name: np.stack(vectors) for name, vectors in groups.items()}
    mean = np.mean([vectors.mean(axis=0) for vectors in stacked.values()], axis=0)
    apart = [vectors - vectors.mean(axis=0) for vectors in stacked.values() if len(vectors) > 1]
    within = sum(each.T @ each for each in apart) / sum(len(each) - 1 for each in apart)
    shrunk = within + _SHRINKAGE * np.trace(within) / len(within) * np.eye(len(within))
    whitening: Vectors = np.linalg.cholesky(np.linalg.inv(shrunk))
    return mean, whitening / np.abs(whitening).max()


def append(raw: Path, mean: Vectors, whitening: Vectors, out: Path) -> None:
    """Write the model with these two steps behind it, in half precision."""
    model = onnx.load(str(raw))
    graph = model.graph
    [output] = graph.output
    for node in graph.node:
        node.output[:] = ["uncalibrated" if name == output.name else name for name in node.output]
    for name, array in (("speaker_mean", mean), ("speaker_whitening", whitening)):
        graph.initializer.append(numpy_helper.from_array(array.astype(np.float16), f"{name}_half"))
        graph.node.append(helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT))
    # The exported vector has length 1 here as `speech.voices` makes it, which is what the mean was taken of.
    graph.node.extend(
        [
            helper.make_node("LpNormalization", ["uncalibrated"], ["unit"], axis=-1, p=2),
            helper.make_node("Sub", ["unit", "speaker_mean"], ["centred"]),
            helper.make_node("MatMul", ["centred", "speaker_whitening"], [output.name]),
        ]
    )
    onnx.checker.check_model(model)
    onnx.save(model, str(out))


def main() -> int:
    """Hear, learn and write."""
    parser = argparse.ArgumentParser(prog="python -m tools.speaker_calibration")
    parser.add_argument("raw", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--golos", type=Path, required=True)
    parser.add_argument("--clips", type=Path, default=Path("tests/data"))
    parser.add_argument("--seeds", type=int, nargs=2, default=(100, 110))
    options = parser.parse_args()
    heard = list(hear(options.raw, options.golos, options.clips, range(*options.seeds)))
    append(options.raw, *learn(heard), options.out)
    print(f"{len(heard)} voices of {len({name for name, _ in heard})} people")
    return 0


if __name__ == "__main__":
    sys.exit(main())
