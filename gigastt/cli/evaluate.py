"""`gigastt eval`: how many words a model gets wrong of one's own recordings, in this process."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gigastt.cli.hearing import open_recognizer
from gigastt.cli.options import model_options
from gigastt.errors import RequestError
from gigastt.scoring import Reference, Score, align, normalise, read_references, score

if TYPE_CHECKING:
    from gigastt.audio.pcm import Samples
    from gigastt.config import Precision
    from gigastt.speech.recognizer import Recognizer
    from gigastt.speech.tokens import Hypothesis, Window

_LIVE_SAMPLES = 1600  # 100 ms, as a microphone gives
_PHONE_RATE = 8_000


@click.command("eval")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--live", is_flag=True, help="As if it were spoken now, in pieces of 100 ms; else as a file.")
@click.option("--telephone", is_flag=True, help="Through 8 kHz first.")
@model_options
def evaluate(source: Path, live: bool, telephone: bool, model: str, model_dir: Path, precision: Precision) -> int:
    """Transcribe recordings whose texts are known, and print the error rates as JSON.

    SOURCE is a folder with manifest.json or manifest.csv, such a list itself (JSON lines too), or a folder with
    talk.txt beside talk.wav. Rates are errors for each word (wer) or character (cer) of the reference: without case and
    punctuation, and with them (exact). Files without speech, and those with speech but no word that was believed, are
    counted. Exit code 1 if a file could not be transcribed; it counts as silence.
    """
    references = read_references(source)
    recognizer = open_recognizer(model, model_dir, precision)
    totals: dict[str, Score] = {}
    substitutions: Counter[tuple[str, str]] = Counter()
    files: list[dict[str, Any]] = []
    for reference in references:
        row: dict[str, Any] = {"file": reference.name}
        heard, counting = "", _Counting(recognizer)
        try:
            heard = _transcribe(reference, counting, live=live, telephone=telephone)
        except (RequestError, OSError) as exc:
            row["error"] = str(exc)
        scores = _scores(reference.text, heard)
        totals = {name: totals.get(name, Score()) + each for name, each in scores.items()}
        pairs = align(normalise(reference.text).split(), normalise(heard).split())
        substitutions.update((p.wanted, p.heard) for p in pairs if p.wanted and p.heard and p.wanted != p.heard)
        row |= {"reference": reference.text, "heard": heard, "passes": counting.passes}
        files.append(row | _rates(scores))
    result = {
        "model": model,
        "files": len(files),
        "failed": sum("error" in row for row in files),
        "without_speech": sum(not row["passes"] for row in files),
        "without_words": sum(not row["heard"] for row in files),
        "words": totals["wer"].length,
        **_rates(totals),
        "substitutions": [[wanted, heard, count] for (wanted, heard), count in substitutions.most_common()],
        "by_file": files,
    }
    click.echo(json.dumps(result, ensure_ascii=False, indent=1))
    return 1 if result["failed"] else 0


class _Counting:
    """A recogniser that counts its passes: none means that no speech was found."""

    def __init__(self, recognizer: Recognizer) -> None:
        self.passes = 0
        self._recognizer = recognizer

    def transcribe(self, window: Window) -> Hypothesis:
        self.passes += 1
        return self._recognizer.transcribe(window)


def _scores(wanted: str, heard: str) -> dict[str, Score]:
    plain, plain_heard = normalise(wanted), normalise(heard)
    return {
        "wer": score(plain.split(), plain_heard.split()),
        "cer": score(plain, plain_heard),
        "exact_wer": score(wanted.split(), heard.split()),
        "exact_cer": score(" ".join(wanted.split()), heard),
    }


def _rates(scores: dict[str, Score]) -> dict[str, float | None]:
    return {name: each.rate for name, each in scores.items()}


def _transcribe(reference: Reference, recognizer: _Counting, *, live: bool, telephone: bool) -> str:
    """Return what is heard in a recording.

    Raises:
        InvalidAudio, AudioTooLong, OSError: it cannot be read.
    """
    from gigastt.audio.decode import decode
    from gigastt.speech import recording
    from gigastt.transcribe import MAX_SECONDS

    with reference.path.open("rb") as source:
        chunks: Iterator[Samples] = decode(source, MAX_SECONDS)
        if telephone or live:
            chunks = _cut(list(chunks), telephone=telephone)
        finals = recording.transcribe_recording(recognizer, chunks, is_live=live)
        return " ".join(final.text for final in finals if final.text)


def _cut(chunks: list[Samples], *, telephone: bool) -> Iterator[Samples]:
    """Yield a recording in pieces of 100 ms, perhaps as a telephone would pass it on."""
    import numpy as np

    from gigastt.audio.pcm import SAMPLE_RATE

    samples = np.concatenate(chunks)
    if telephone:
        import soxr

        narrow = soxr.resample(samples, SAMPLE_RATE, _PHONE_RATE)
        samples = soxr.resample(narrow, _PHONE_RATE, SAMPLE_RATE)
    for begin in range(0, len(samples), _LIVE_SAMPLES):
        yield samples[begin : begin + _LIVE_SAMPLES]
