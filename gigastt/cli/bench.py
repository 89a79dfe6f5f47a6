"""`gigastt bench`: how fast the recogniser is on this machine, on one core; one JSON object on standard output."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from gigastt.cli.hearing import open_recognizer
from gigastt.cli.options import model_options
from gigastt.config import Precision


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Take the median of so many runs.")
@model_options
def bench(file: Path, rounds: int, model: str, model_dir: Path, precision: Precision) -> int:
    """Transcribe FILE several times and print how fast that went.

    The whole pipeline on one thread: decoding, features, encoder, search, words.
    """
    begun = time.perf_counter()
    recognizer = open_recognizer(model, model_dir, precision)
    load_seconds = time.perf_counter() - begun
    from gigastt.transcribe import TranscribedFile

    taken: list[float] = []
    for _ in range(rounds):
        begun = time.perf_counter()
        with file.open("rb") as source:
            recording = TranscribedFile(source, recognizer)
            words = sum(len(segment.words) for segment in recording.segments())
        taken.append(time.perf_counter() - begun)
    seconds, median = recording.seconds, sorted(taken)[len(taken) // 2]
    result = {
        "model": model,
        "encoder": recognizer.encoder_name,
        "audio_seconds": round(seconds, 3),
        "words": words,
        "load_seconds": round(load_seconds, 3),
        "rounds": rounds,
        "seconds": round(median, 4),
        "times_real_time": round(seconds / median, 1),
    }
    click.echo(json.dumps(result))
    return 0
