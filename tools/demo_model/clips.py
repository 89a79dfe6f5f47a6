"""The test sets: 40 short utterances and a lecture that ship, and 300 utterances to evaluate on.

    python -m tools.demo_model.clips --data data --out out/test --evaluation evaluation

No sentence occurs in the training set (`synthesis` draws the held-out ones first). Texts of the shipped files are the
project's own: templates, and the lecture in `lecture.txt`.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tools.demo_model.corpus import Clip, Corpus
from tools.demo_model.synthesis import FESTIVAL_VOICE, HELD_OUT_SEED, SAMPLE_RATE, Waveform, say_with_festival, trim
from tools.demo_model.templates import TemplateGrammar

_LECTURE = Path(__file__).with_name("lecture.txt")
_SHIPPED_OF_EACH = 20
_EVALUATED_OF_EACH = 150
_OWN_SENTENCES = 5000
_SEED = 99


@dataclass(frozen=True, slots=True)
class Span:
    """Where a sentence lies in a file, in seconds."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class Recording:
    """Samples, and where each sentence lies in them."""

    waveform: Waveform
    sentences: list[Span]


def compose_recording(corpus: Corpus, clips: list[Clip], rng: random.Random, noise_floor: float) -> Recording:
    """Join clips with pauses of 0.3 to 2 s over a weak noise floor."""
    parts, spans = [_silence(rng.uniform(0.2, 0.5))], list[Span]()
    at = len(parts[0])
    for clip in clips:
        waveform = corpus.waveform(clip)
        spans.append(_span(at, len(waveform), clip.text))
        gap = _silence(rng.uniform(0.3, 2.0))
        parts += [waveform, gap]
        at += len(waveform) + len(gap)
    parts[-1] = parts[-1][: int(0.4 * SAMPLE_RATE)]
    joined = np.concatenate(parts) * rng.uniform(0.4, 1.0)
    noise = np.random.default_rng(rng.randrange(1 << 30)).standard_normal(len(joined)).astype(np.float32)
    return Recording(joined + noise * noise_floor, spans)


def split_lecture(text: str) -> list[str]:
    """Cut the lecture into its sentences."""
    return [sentence.strip() for sentence in re.findall(r"[^.?!]+[.?!]", text.replace("\n", " "))]


def compose_lecture(sentences: list[str], rng: random.Random) -> Recording:
    """Have the lecture read by festival, with pauses of 0.5 to 2 s."""
    parts, spans, at = [_silence(0.5)], list[Span](), SAMPLE_RATE // 2
    for text, spoken in zip(sentences, say_with_festival(sentences), strict=True):
        if spoken is None:
            raise RuntimeError(f"Expected festival to say {text!r}.")
        waveform = trim(spoken)
        waveform = (waveform * (0.7 / np.abs(waveform).max())).astype(np.float32)
        gap = _silence(rng.uniform(0.5, 2.0))
        spans.append(_span(at, len(waveform), text))
        parts += [waveform, gap]
        at += len(waveform) + len(gap)
    lecture = np.concatenate(parts)
    noise = np.random.default_rng(3).standard_normal(len(lecture)).astype(np.float32)
    return Recording(lecture + noise * np.float32(3e-4), spans)


def write_shipped(corpus: Corpus, own: set[str], folder: Path, rng: random.Random) -> set[int]:
    """Write the files that ship, with their manifest; return the clips they use up."""
    used: set[int] = set()
    manifest: list[dict[str, Any]] = []
    for engine in ("espeak", "festival"):
        pool = [i for i, clip in enumerate(corpus.clips) if clip.engine == engine and clip.text in own]
        rng.shuffle(pool)
        for number in range(_SHIPPED_OF_EACH):
            several = number % 2 == 1  # half of them are one sentence
            wanted = rng.uniform(2.0, 15.0) if several else 2.0
            clips: list[Clip] = []
            while not clips or (several and sum(c.seconds for c in clips) + 1.2 * len(clips) < wanted - 3):
                used.add(pool[-1])
                clips.append(corpus.clips[pool.pop()])
            recording = compose_recording(corpus, clips, rng, 10 ** rng.uniform(-4.5, -2.7))
            name = f"{engine}_{number:02d}.wav"
            _write(folder / name, recording.waveform)
            voices = "+".join(dict.fromkeys(clip.voice for clip in clips))
            manifest.append(_row(name, recording, engine, voices))
    lecture = compose_lecture(split_lecture(_LECTURE.read_text(encoding="utf-8")), rng)
    _write(folder / "lecture.wav", lecture.waveform)
    manifest.append(_row("lecture.wav", lecture, "festival", FESTIVAL_VOICE))
    _write_manifest(folder, manifest)
    return used


def write_evaluation(corpus: Corpus, own: set[str], used: set[int], folder: Path, rng: random.Random) -> None:
    """Write the evaluation set: 150 utterances of each synthesiser, a third of them several sentences."""
    manifest: list[dict[str, Any]] = []
    for engine in ("espeak", "festival"):
        pool = [i for i, clip in enumerate(corpus.clips) if clip.engine == engine and i not in used]
        rng.shuffle(pool)
        for number in range(_EVALUATED_OF_EACH):
            clips = [corpus.clips[pool.pop()] for _ in range(1 if number % 3 else 2 + number % 2)]
            recording = compose_recording(corpus, clips, rng, 10 ** rng.uniform(-4.5, -3))
            name = f"{engine}_{number:03d}.wav"
            _write(folder / name, recording.waveform)
            kinds = {"template" if clip.text in own else "prose" for clip in clips}
            kind = kinds.pop() if len(kinds) == 1 else "mixed"
            reference = " ".join(clip.text for clip in clips)
            manifest.append({"filename": name, "reference": reference, "engine": engine, "text": kind})
    _write_manifest(folder, manifest)


def _row(name: str, recording: Recording, engine: str, voice: str) -> dict[str, Any]:
    return {
        "filename": name,
        "reference": " ".join(span.text for span in recording.sentences),
        "engine": engine,
        "voice": voice,
        "seconds": round(len(recording.waveform) / SAMPLE_RATE, 3),
        "sentences": [asdict(span) for span in recording.sentences],
    }


def _span(begin: int, length: int, text: str) -> Span:
    return Span(round(begin / SAMPLE_RATE, 3), round((begin + length) / SAMPLE_RATE, 3), text)


def _silence(seconds: float) -> Waveform:
    return np.zeros(int(seconds * SAMPLE_RATE), np.float32)


def _write(path: Path, waveform: Waveform) -> None:
    pcm = (np.clip(waveform, -1, 1) * 32767).astype(np.int16)
    soundfile.write(path, pcm, SAMPLE_RATE, subtype="PCM_16")


def _write_manifest(folder: Path, rows: list[dict[str, Any]]) -> None:
    (folder / "manifest.json").write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the test sets.")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("out/test"))
    parser.add_argument("--evaluation", type=Path, default=Path("evaluation"))
    parser.add_argument("--seed", type=int, default=1, help="the one given to synthesis")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    options.evaluation.mkdir(parents=True, exist_ok=True)
    corpus, rng = Corpus(options.data, "test"), random.Random(_SEED)
    grammar = TemplateGrammar(options.seed + HELD_OUT_SEED)
    own = {grammar.sentence() for _ in range(_OWN_SENTENCES)}
    used = write_shipped(corpus, own, options.out, rng)
    write_evaluation(corpus, own, used, options.evaluation, rng)


if __name__ == "__main__":
    main()
