"""Hotwords and alternatives: what they find, what they mistake, and what they cost.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.hotwords --clips FOLDER [--prompts] [--model demo] [--model-dir DIR]

Speaks rare terms and what sounds like them (`benchmarks.terms`) and transcribes both without hotwords and with those
terms at several weights; looks for a hundred unrelated terms in the Russian prompts of Asterisk (`--prompts`, see
`benchmarks.asterisk`) and in ten minutes each of noise, music and silence, window by window, whatever the activity
detector would say; and counts the errors of the best of five alternatives of clips with references. Prints one JSON
object:

    terms          by weight: terms found of all spoken, errors of all other words, sound-alikes that changed
    unrelated      utterances with words, and those of them that the hundred terms changed
    cost           processor time of finals with hotwords, and with alternatives, to that without
    alternatives   errors of the first and of the best of five, and clips with an empty or repeated one
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
import wave
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from benchmarks.asterisk import SOUNDS, TEXTS, read_prompts
from benchmarks.terms import TERMS, UNRELATED, Term, speak
from gigastt.audio.pcm import SAMPLE_RATE, Samples
from gigastt.hotwords import fold
from gigastt.scoring import Score, align, normalise, score
from gigastt.speech.features import log_mel
from gigastt.speech.phrases import Phrases
from gigastt.speech.recognizer import Recognizer
from gigastt.speech.tokens import Hypothesis, Window, join_pieces
from gigastt.transcribe import load_recognizer
from gigastt.transcript import MOST_ALTERNATIVES, Hotword, Options
from tools.activity.music import music
from tools.activity.noises import pink, white

WEIGHTS = (0.0, 0.5, 1.0, 2.0, 3.0)
_MINUTES = 10
_WINDOW_SECONDS = 10
_LOUDNESS = 0.05


def hotwords_of(phrases: Iterable[str], weight: float = 1.0) -> Options:
    """Return what asks for phrases; for weight 0, for none."""
    return Options(hotwords=tuple(Hotword(phrase, weight) for phrase in phrases) if weight else ())


def text_of(hypothesis: Hypothesis) -> str:
    """Return what was heard."""
    return join_pieces([token.piece for token in hypothesis.tokens])


def words_of(hypothesis: Hypothesis) -> list[str]:
    """Return the words that are compared."""
    return normalise(text_of(hypothesis)).split()


def has_term(term: Term, hypothesis: Hypothesis, pieces: Sequence[str]) -> bool:
    """Tell whether a term was heard, in any of its forms."""
    phrases, state = Phrases([Hotword(term.phrase)], pieces), Phrases.START
    gains = 0.0
    for token in hypothesis.tokens:
        step = phrases.advance(state, token.id)
        state, gains = step.state, gains + step.gain
    return gains + phrases.finish(state) > 0


def measure_terms(recognizer: Recognizer) -> list[dict[str, Any]]:
    """Transcribe what was spoken at every weight."""
    spoken = [Window(log_mel(one), 0) for one in speak([term.sentence for term in TERMS])]
    others = [Window(log_mel(one), 0) for one in speak([term.other for term in TERMS])]
    voices = len(spoken) // len(TERMS)
    plain = [words_of(recognizer.transcribe(window)) for window in others]
    rows = []
    for weight in WEIGHTS:
        options = hotwords_of((term.phrase for term in TERMS), weight)
        found, rest = 0, Score()
        for number, window in enumerate(spoken):
            term = TERMS[number // voices]
            hypothesis = recognizer.transcribe(replace(window, options=options))
            found += has_term(term, hypothesis, recognizer.vocabulary.pieces)
            rest += score_rest(term, words_of(hypothesis))
        heard = [words_of(recognizer.transcribe(replace(window, options=options))) for window in others]
        changed = sum(one != other for one, other in zip(plain, heard, strict=True))
        rows.append(
            {
                "weight": weight,
                "found": found,
                "of": len(spoken),
                "others_error_rate": rest.rate,
                "sound_alikes": changed,
            }
        )
    return rows


def score_rest(term: Term, heard: Sequence[str]) -> Score:
    """Count the errors of the words of a sentence that are not the term's."""
    wanted = normalise(term.sentence).split()
    stems = [word[: max(3, len(word) - 3)] for word in fold(term.phrase).split()]
    of_term = {number for number, word in enumerate(wanted) if any(word.startswith(stem) for stem in stems)}
    errors, at = 0, 0
    for pair in align(wanted, heard):
        if pair.wanted is None:
            errors += 1
            continue
        errors += pair.wanted != pair.heard and at not in of_term
        at += 1
    return Score(errors, len(wanted) - len(of_term))


def measure_unrelated(recognizer: Recognizer, recordings: Iterable[Samples]) -> dict[str, int]:
    """Look for terms where there are none."""
    options, utterances, changed = hotwords_of(UNRELATED), 0, 0
    for samples in recordings:
        for begin in range(0, len(samples), _WINDOW_SECONDS * SAMPLE_RATE):
            window = Window(log_mel(samples[begin : begin + _WINDOW_SECONDS * SAMPLE_RATE]), 0)
            if not len(window.features):
                continue
            plain = recognizer.transcribe(window)
            utterances += bool(plain.tokens)
            changed += text_of(recognizer.transcribe(replace(window, options=options))) != text_of(plain)
    return {"utterances": utterances, "changed": changed}


def prompts() -> Iterator[Samples]:
    """Yield the prompts of Asterisk."""
    for row in read_prompts(TEXTS, SOUNDS):
        yield read_wave(Path(row["file"]))


def read_wave(path: Path) -> Samples:
    """Return a mono WAV file at 16 kHz."""
    with wave.open(str(path)) as file:
        samples, rate = np.frombuffer(file.readframes(file.getnframes()), "<i2"), file.getframerate()
    return samples if rate == SAMPLE_RATE else soxr.resample(samples, rate, SAMPLE_RATE)


def sounds() -> Iterator[tuple[str, Samples]]:
    """Yield ten minutes of each sound that has no words."""
    length, random = _WINDOW_SECONDS * SAMPLE_RATE, np.random.default_rng(7)
    for name, make in (("white noise", white), ("pink noise", pink), ("music", music)):
        pieces = [make(length, random) * _LOUDNESS for _ in range(_MINUTES * 60 // _WINDOW_SECONDS)]
        yield name, np.clip(np.concatenate(pieces) * 32_768, -32_768, 32_767).astype(np.int16)
    yield "silence", np.zeros(_MINUTES * 60 * SAMPLE_RATE, np.int16)


def measure_alternatives(recognizer: Recognizer, clips: Sequence[tuple[Window, str]]) -> dict[str, Any]:
    """Compare the first transcript and the best of five with the references."""
    first, best, wrong = Score(), Score(), 0
    for window, reference in clips:
        told = recognizer.transcribe(replace(window, options=Options(most_alternatives=MOST_ALTERNATIVES))).alternatives
        wanted = normalise(reference).split()
        texts = [words_of(one) for one in told]
        scores = [score(wanted, words) for words in texts]
        first, best = first + scores[0], best + min(scores, key=lambda one: one.errors)
        wrong += not all(texts) or len({*map(tuple, texts)}) < len(texts)
    return {"errors": first.errors, "errors_of_best": best.errors, "words": first.length, "empty_or_repeated": wrong}


def measure_cost(recognizer: Recognizer, windows: Sequence[Window]) -> dict[str, float]:
    """Compare the processor time of finals, the best of five runs in turns."""
    kinds = {
        "plain": Options(),
        "hotwords": hotwords_of(UNRELATED),
        "alternatives": Options(most_alternatives=MOST_ALTERNATIVES),
    }
    best = dict.fromkeys(kinds, float("inf"))
    for _, (kind, options) in itertools.product(range(5), kinds.items()):
        begun = time.process_time()
        for window in windows:
            recognizer.transcribe(replace(window, options=options))
        best[kind] = min(best[kind], time.process_time() - begun)
    return {f"{kind}_to_plain": round(best[kind] / best["plain"], 3) for kind in kinds if kind != "plain"}


def main() -> int:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description="What hotwords and alternatives find, mistake and cost.")
    parser.add_argument("--clips", type=Path, required=True, help="folder with manifest.json and clips")
    parser.add_argument("--prompts", action="store_true")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--model-dir", type=Path, default=Path.home() / ".gigastt" / "models")
    options = parser.parse_args()
    _, recognizer = load_recognizer(options.model, options.model_dir)
    rows = json.loads((options.clips / "manifest.json").read_text(encoding="utf-8"))
    clips = [
        (Window(log_mel(read_wave(options.clips / row["filename"])), 0), row["reference"])
        for row in rows
        if row["filename"] != "lecture.wav"
    ]
    result: dict[str, Any] = {
        "cost": measure_cost(recognizer, [window for window, _ in clips[:20]]),
        "alternatives": measure_alternatives(recognizer, clips),
        "terms": measure_terms(recognizer),
        "unrelated": {name: measure_unrelated(recognizer, [samples]) for name, samples in sounds()},
    }
    if options.prompts:
        result["unrelated"]["prompts"] = measure_unrelated(recognizer, prompts())
    print(json.dumps(result, ensure_ascii=False, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
