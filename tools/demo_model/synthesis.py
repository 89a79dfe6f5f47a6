"""Synthesis: sentences become speech, by espeak-ng (66 voice variants) and festival (msu_ru_nsh).

    python -m tools.demo_model.synthesis --out data --shards 24 --seed 1

writes for each shard `<split>_<n>.npy` (int16, 16 kHz, clips one after the other) and `<split>_<n>.json` (a list of
clips: offset, length, text, engine, voice). A clip is one sentence, trimmed to its speech. Held-out sentences are
drawn first: neither they nor their wording reach the training set. Twelve minutes on one core.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from tools.demo_model.grammar import SENTENCE
from tools.demo_model.prose import debian_prose
from tools.demo_model.templates import TemplateGrammar
from tools.demo_model.words import WORD_LISTS

Waveform: TypeAlias = npt.NDArray[np.float32]  # [samples], 16 kHz

SAMPLE_RATE = 16_000
FESTIVAL_VOICE = "msu_ru_nsh"
HELD_OUT_SEED = 7777  # added to the seed: the grammar of the held-out sentences
_ESPEAK_RATE = 22_050
_WAV_HEADER_BYTES = 44
_PEAK = 0.7
_MOST_REPETITIONS = 6
_ESPEAK_VOICES = WORD_LISTS["ESPEAK_VOICES"]


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence, and who is to say it."""

    engine: str
    text: str


def normalise(text: str) -> str:
    """Reduce a text to what word error rate counts: lower case, letters only, ё as е."""
    return "".join(char for char in text.lower().replace("ё", "е") if char.isalpha() or char == " ").strip()


def trim(waveform: Waveform, keep_seconds: float = 0.06) -> Waveform:
    """Cut leading and trailing silence down to `keep_seconds`."""
    threshold = 0.01 * max(float(np.abs(waveform).max()), 1e-4)
    loud = np.flatnonzero(np.abs(waveform) > threshold)
    if not len(loud):
        return waveform
    kept = int(keep_seconds * SAMPLE_RATE)
    return waveform[max(0, loud[0] - kept) : loud[-1] + kept]


def say_with_espeak(text: str, rng: random.Random) -> tuple[Waveform, str]:
    """Speak with a random voice, speed, pitch and gap; return the samples and the voice."""
    voice = rng.choice(_ESPEAK_VOICES)
    speed, pitch, gap = rng.randint(115, 205), rng.randint(15, 85), rng.choice([0, 0, 0, 1, 3])
    command = ["espeak-ng", "-v", f"ru+{voice}", "-s", str(speed), "-p", str(pitch), "-g", str(gap), "--stdout", text]
    output = subprocess.run(command, capture_output=True, check=True).stdout
    # espeak-ng cannot seek in a pipe, so the sizes in its RIFF header are wrong: skip the header
    samples = output[_WAV_HEADER_BYTES:]
    pcm = np.frombuffer(samples[: len(samples) // 2 * 2], dtype="<i2").astype(np.float32) / 32768
    return soxr.resample(pcm, _ESPEAK_RATE, SAMPLE_RATE, quality="MQ"), voice


def say_with_festival(texts: list[str]) -> list[Waveform | None]:
    """Speak all texts in one festival process: loading the voice costs more than a sentence."""
    with tempfile.TemporaryDirectory() as folder:
        lines = [
            f"(voice_{FESTIVAL_VOICE}_clunits)",
            "(define (go txt out) (utt.save.wave (utt.synth (eval (list 'Utterance 'Text txt))) out 'riff))",
            *(
                f'(unwind-protect (go "{text}" "{folder}/{number}.wav") (print "failed"))'
                for number, text in enumerate(texts)
            ),
        ]
        script = Path(folder) / "batch.scm"
        script.write_text("\n".join(lines), encoding="utf-8")
        subprocess.run(["festival", "-b", str(script)], check=False, capture_output=True)
        return [_read_speech(Path(folder) / f"{number}.wav") for number in range(len(texts))]


def _read_speech(path: Path) -> Waveform | None:
    try:
        waveform, rate = soundfile.read(io.BytesIO(path.read_bytes()), dtype="float32")
    except (OSError, RuntimeError):
        return None
    return waveform if rate == SAMPLE_RATE and len(waveform) > SAMPLE_RATE // 4 else None


def write_shard(folder: Path, name: str, lines: list[Line], seed: int) -> float:
    """Speak every line and write one shard; return the seconds of speech in it."""
    rng = random.Random(seed)
    by_festival = [line.text for line in lines if line.engine == "festival"]
    spoken = dict(zip(by_festival, say_with_festival(by_festival), strict=True))
    clips: list[npt.NDArray[np.int16]] = []
    index: list[dict[str, Any]] = []
    offset = 0
    for line in lines:
        if line.engine == "espeak":
            waveform, voice = say_with_espeak(line.text, rng)
        else:
            found, voice = spoken[line.text], FESTIVAL_VOICE
            if found is None:
                continue
            waveform = found
        waveform = trim(waveform)
        peak, seconds = float(np.abs(waveform).max()), len(waveform) / SAMPLE_RATE
        if peak < 0.01 or not 0.2 < seconds < 18 or len(line.text) / seconds > 28:
            continue
        pcm = (waveform * (_PEAK / peak) * 32767).astype(np.int16)
        clips.append(pcm)
        index.append({"off": offset, "len": len(pcm), "text": line.text, "engine": line.engine, "voice": voice})
        offset += len(pcm)
    np.save(folder / f"{name}.npy", np.concatenate(clips))
    (folder / f"{name}.json").write_text(json.dumps(index, ensure_ascii=False), encoding="utf-8")
    return offset / SAMPLE_RATE


class SentenceSource:
    """Draws sentences, held-out ones first; no held-out wording is ever drawn for training."""

    def __init__(self, seed: int, prose: list[str]) -> None:
        self._held_out_grammar = TemplateGrammar(seed + HELD_OUT_SEED)
        self._grammar = TemplateGrammar(seed)
        self._prose = prose
        self._held_out: set[str] = set()
        self._seen: dict[str, int] = {}

    def hold_out(self, count: int, *, prose: bool) -> list[str]:
        """Draw `count` sentences that training will not see."""
        drawn: list[str] = []
        while len(drawn) < count:
            sentence = self._prose.pop() if prose else self._held_out_grammar.sentence()
            wording = normalise(sentence)
            if SENTENCE.match(sentence) and wording not in self._held_out and len(wording.split()) >= 3:
                self._held_out.add(wording)
                drawn.append(sentence)
        return drawn

    def draw(self, *, prose: bool) -> str:
        """Draw one sentence for training; prose while there is some."""
        while True:
            sentence = self._prose.pop() if prose and self._prose else self._grammar.sentence()
            wording = normalise(sentence)
            times = self._seen.get(wording, 0)
            if SENTENCE.match(sentence) and wording not in self._held_out and times < _MOST_REPETITIONS:
                self._seen[wording] = times + 1
                return sentence


def main() -> None:
    parser = argparse.ArgumentParser(description="Synthesise the corpus.")
    parser.add_argument("--out", type=Path, default=Path("data"))
    parser.add_argument("--shards", type=int, default=24)
    parser.add_argument("--espeak", type=int, default=600, help="espeak sentences in a shard")
    parser.add_argument("--festival", type=int, default=450, help="festival sentences in a shard")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    rng = random.Random(options.seed)
    by_package = debian_prose()
    prose = [sentence for package in sorted(by_package) for sentence in by_package[package]]
    rng.shuffle(prose)
    source = SentenceSource(options.seed, prose)

    for split, templates, proses, seed in (("dev", 60, 40, 1000), ("test", 260, 160, 1001)):
        lines = [
            Line(engine, text)
            for engine in ("espeak", "festival")
            for text in source.hold_out(templates, prose=False) + source.hold_out(proses, prose=True)
        ]
        rng.shuffle(lines)
        write_shard(options.out, f"{split}_0", lines, options.seed + seed)

    total = 0.0
    for shard in range(options.shards):
        engines = ["espeak"] * options.espeak + ["festival"] * options.festival
        lines = [Line(engine, source.draw(prose=number % 2 == 1)) for number, engine in enumerate(engines)]
        total += write_shard(options.out, f"train_{shard}", lines, options.seed + 2000 + shard)
        print(f"shard {shard}: {total / 3600:.2f} h, {len(prose)} sentences of prose left", flush=True)


if __name__ == "__main__":
    main()
