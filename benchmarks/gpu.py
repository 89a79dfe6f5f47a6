"""A card's figures, all in one command of under eight minutes: encoder passes, files, live sessions, and their words.

    python -m benchmarks.gpu [--model-dir DIR] [--minutes 60] [--seconds 60] [--stand-in]

DIR holds a model with its fp32 encoder; without it the benchmark model is made. The encoder for cards is made of it
first. Then, on one card: passes over 2, 5 and 20 s with one row and with as many as a worker takes at once, and over a
length that is new to the card; a long file; people who speak until no more are let in; and the same clips live, all at
once, and as files. `--stand-in` has the processor compute what a card would: it shows that all works, and no speed.
Prints one JSON object; `seconds` says what each part took.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.conformer import EncoderShape
from benchmarks.long_files import make_dense
from benchmarks.make_model import make_model
from benchmarks.pinned import machine
from gigastt import trial
from gigastt.audio.pcm import SAMPLE_RATE, Samples
from gigastt.audio.shared import SharedSegment
from gigastt.config import Settings
from gigastt.errors import GigasttError
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.pool import Pool
from gigastt.gateway.pool.session import Session, transcribe_files
from gigastt.gateway.pool.sources import FileSource
from gigastt.model_loading import require_provider
from gigastt.models.catalog import FileNames
from gigastt.optimize.half import halve_encoder
from gigastt.optimize.observe import make_trial, relative_difference
from gigastt.optimize.words import edit_distance, load_clips
from gigastt.speech.device import choose_device
from gigastt.speech.model import Encoder
from gigastt.speech.recognizer import MAX_WINDOW_FRAMES, ON_CARD
from gigastt.transcript import Final, Options
from gigastt.workers.config import WorkerConfig
from gigastt.workers.process import BEAT_SECONDS

NAMES = FileNames()
PACKET = SAMPLE_RATE // 10


def measure_encoder(
    fp32: Path, halved: Path, windows: Sequence[float], *, stands_in: bool, rounds: int
) -> dict[str, object]:
    """Time passes, the median of some; compare the output with that of fp32 on the processor."""
    began = time.monotonic()
    encoder = Encoder(halved, device=choose_device("cuda", 0, stands_in=stands_in))
    loaded = time.monotonic() - began
    passes = []
    for seconds in windows:
        frames = round(seconds * 100)
        most = min(ON_CARD.windows, ON_CARD.width * MAX_WINDOW_FRAMES // frames)
        for rows in (1, most):
            features, lengths = make_trial(rows, frames), np.full(rows, frames)
            times = []
            for _ in range(rounds + 1):
                start = time.perf_counter()
                encoder.encode(features, lengths)
                times.append(time.perf_counter() - start)
            usual = statistics.median(times[1:])
            passes.append(
                {
                    "window_seconds": seconds,
                    "rows": rows,
                    "first_ms": round(1e3 * times[0], 2),
                    "ms": round(1e3 * usual, 2),
                    "times_real_time": round(rows * seconds / usual),
                }
            )
    features, lengths = make_trial(1, 500), np.array([500])
    error = relative_difference(Encoder(fp32).encode(features, lengths)[0], encoder.encode(features, lengths)[0])
    padding = encoder.takes_padding()
    return {"load_seconds": round(loaded, 1), "passes": passes, "error": round(error, 5), "takes_padding": padding}


@asynccontextmanager
async def open_pool(config: WorkerConfig) -> AsyncIterator[Pool]:
    """Yield a pool of one worker that is ready."""
    pool = Pool(Settings(pool_size=1, max_sessions=64), Metrics())
    async with pool.at_work(config.command):
        yield pool


async def hear_file(pool: Pool, samples: Samples) -> list[str]:
    """Return what a file's finals say."""
    with SharedSegment.create() as segment:
        segment.append(samples)
        try:
            source = FileSource(segment.name, len(samples))
            events = transcribe_files(pool, [source], Options(partials=False))
            return [event.text async for event in events if isinstance(event, Final) and event.text]
        finally:
            segment.unlink()


async def hear_live(pool: Pool, samples: Samples) -> list[str]:
    """Return what a session's finals say, its audio sent as fast as it is taken."""
    session = Session(pool, Options())

    async def speak() -> None:
        for begin in range(0, len(samples), PACKET):
            await session.send(0, samples[begin : begin + PACKET].tobytes())
        session.finish()

    speaking = asyncio.create_task(speak())
    try:
        return [event.text async for event in session.events() if isinstance(event, Final) and event.text]
    finally:
        await speaking
        session.cancel()


async def measure_file(config: WorkerConfig, clips: Sequence[Samples], minutes: float) -> dict[str, object]:
    """Recognise one long file, and say how full its passes were."""
    samples = make_dense(clips, minutes).samples
    async with open_pool(config) as pool:
        began = time.monotonic()
        finals = await hear_file(pool, samples)
        seconds = time.monotonic() - began
        await asyncio.sleep(2 * BEAT_SECONDS)  # until the worker has told of its last passes
        registry = pool.metrics.registry
        windows, passes = (registry.get_sample_value(f"gigastt_batch_size_{part}") or 0 for part in ("sum", "count"))
    audio = len(samples) / SAMPLE_RATE
    return {
        "audio_seconds": round(audio),
        "seconds": round(seconds, 2),
        "times_real_time": round(audio / seconds, 1),
        "finals": len(finals),
        "windows_a_pass": round(windows / max(passes, 1), 2),
    }


async def compare_words(config: WorkerConfig, clips: Sequence[Samples]) -> dict[str, object]:
    """Hear the clips live, all at once, and one after the other as files."""
    async with open_pool(config) as pool:
        live = await asyncio.gather(*(hear_live(pool, clip) for clip in clips))
        files = [await hear_file(pool, clip) for clip in clips]
    words = [(" ".join(one).split(), " ".join(other).split()) for one, other in zip(live, files, strict=True)]
    return {
        "clips": len(clips),
        "equal": sum(one == other for one, other in zip(live, files, strict=True)),
        "words": sum(len(other) for _, other in words),
        "words_that_differ": sum(edit_distance(one, other) for one, other in words),
    }


async def measure_live(config: WorkerConfig, clips: Sequence[Samples], seconds: float) -> dict[str, object]:
    """Have people speak, as many as are let in, as `gigastt capacity` does."""
    outcome = await trial.run_trial(Settings(pool_size=1), config.command, clips, seconds, lambda gone, sessions: None)
    return asdict(outcome)


def run(options: argparse.Namespace, directory: Path) -> dict[str, object]:
    """Measure everything in its turn."""
    spent: dict[str, float] = {}
    figures: dict[str, object] = {"machine": machine(None), "stand_in": options.stand_in, "seconds": spent}

    def note(name: str, began: float, **made: object) -> None:
        spent[name] = round(time.monotonic() - began, 1)
        figures.update(made)
        print(f"{name}: {spent[name]} s", file=sys.stderr)

    fp32, halved = directory / NAMES.encoder, directory / NAMES.halved
    began = time.monotonic()
    if not fp32.exists():
        make_model(directory, EncoderShape(layers=options.layers))
    note("model", began)
    began = time.monotonic()
    if not halved.exists():
        figures["made"] = halve_encoder(fp32, halved)
    note("16 bits", began)
    began = time.monotonic()
    made = measure_encoder(fp32, halved, options.windows, stands_in=options.stand_in, rounds=options.rounds)
    note("encoder", began, encoder=made)
    vocabulary, decoder, joint = (
        str(directory / name) for name in (NAMES.vocabulary, NAMES.decoder, NAMES.joint) if name
    )
    config = WorkerConfig(
        model="benchmark",
        encoder=str(halved),
        vocabulary=vocabulary,
        decoder=decoder,
        joint=joint,
        provider="cuda",
        stands_in=options.stand_in,
        log_level="warning",
    )
    clips = [clip.samples for clip in load_clips()][: options.clips]
    for name, measuring in (
        ("file", measure_file(config, clips, options.minutes)),
        ("words", compare_words(config, clips)),
        ("live", measure_live(config, clips, options.seconds)),
    ):
        began = time.monotonic()
        note(name, began, **{name: asyncio.run(measuring)})
    return figures


def main() -> int:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(description="What a worker on a card does.")
    parser.add_argument("--model-dir", type=Path, help="a folder with the fp32 files; without it one is made")
    parser.add_argument("--layers", type=int, default=EncoderShape().layers, help="of the model that is made")
    parser.add_argument("--windows", type=float, nargs="+", default=(2.0, 5.0, 20.0), help="of a pass, in seconds")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--clips", type=int, default=99)
    parser.add_argument("--minutes", type=float, default=60.0, help="of the long file")
    parser.add_argument("--seconds", type=float, default=60.0, help="for which people speak")
    parser.add_argument("--stand-in", action="store_true", help="the processor computes what a card would")
    options = parser.parse_args()
    try:
        if not options.stand_in:
            require_provider(Settings(provider="cuda", pool_size=1))
        with tempfile.TemporaryDirectory() as temporary:
            figures = run(options, options.model_dir or Path(temporary))
    except GigasttError as exc:
        print(exc, file=sys.stderr)
        return exc.exit_code
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
