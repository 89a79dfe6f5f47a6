"""Recognise one long file on one worker, on several, and on several of which one is killed every five seconds.

    python -m benchmarks.one_file [--model demo] [--model-dir DIR] [--workers 2] [--minutes 60] [--kill-seconds 5]

The file is the test clips with short pauses. Beside each run: how much of the processors other programs used, without
which a ratio says nothing. `equal` says whether every run gave the same finals, to the last digit. Prints one JSON
object.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.long_files import make_dense
from benchmarks.playlist import load_clips
from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.audio.shared import SharedSegment
from gigastt.config import DEMO_MODEL, Settings
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.pool import Pool
from gigastt.gateway.pool.session import transcribe_files
from gigastt.gateway.pool.sources import FileSource
from gigastt.model_loading import plan_workers
from gigastt.models.store import resolve
from gigastt.transcript import Final, Options, final_fields

CLIPS = Path(__file__).resolve().parent.parent / "tests" / "data"


@dataclass(frozen=True, slots=True)
class Run:
    """One time through the file.

    seconds: by the clock.
    worker_seconds: of a processor, by each worker that lived to the end.
    digest: of all finals.
    kills: of workers.
    others: processors that other programs used.
    """

    seconds: float
    worker_seconds: list[float]
    finals: int
    digest: str
    kills: int
    others: float


@asynccontextmanager
async def open_pool(settings: Settings) -> AsyncIterator[Pool]:
    """Yield a pool that is ready."""
    files = resolve(settings.model, settings.model_dir)
    pool = Pool(settings, Metrics())
    async with pool.at_work(await plan_workers(settings, files)):
        yield pool


async def kill_workers(pool: Pool, seconds: float, killed: list[int]) -> None:
    """Kill one worker after another, each so many seconds after the one before."""
    while True:
        await asyncio.sleep(seconds)
        if pids := pool.pids:
            pid = pids[len(killed) % len(pids)]
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)


async def measure(settings: Settings, segment: str, samples: int, kill_seconds: float | None) -> Run:
    """Recognise the file once."""
    digest, finals = hashlib.sha256(), 0
    killed: list[int] = []
    async with open_pool(settings) as pool:
        began = time.monotonic()
        busy_before, before = _busy_seconds(), _worker_seconds(pool)
        own_before = time.process_time() + sum(before)
        killing = asyncio.create_task(kill_workers(pool, kill_seconds, killed)) if kill_seconds else None
        async for event in transcribe_files(pool, [FileSource(segment, samples)], Options(partials=False)):
            if isinstance(event, Final):
                fields = {name: value for name, value in final_fields(event).items() if name != "timestamp"}
                digest.update(json.dumps(fields, ensure_ascii=False).encode())
                finals += 1
        seconds = time.monotonic() - began
        worked = _worker_seconds(pool)
        others = (_busy_seconds() - busy_before - (time.process_time() + sum(worked) - own_before)) / seconds
        if killing is not None:
            killing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await killing
    spent = [round(now - then, 2) for now, then in zip(worked, before, strict=False)]
    return Run(
        round(seconds, 2), [] if killed else spent, finals, digest.hexdigest()[:16], len(killed), round(others, 2)
    )


def _busy_seconds() -> float:
    """Return what all processors of this machine have worked."""
    user, nice, system = map(int, Path("/proc/stat").read_text(encoding="ascii").split("\n")[0].split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def _worker_seconds(pool: Pool) -> list[float]:
    """Return what each worker that lives has worked."""
    worked = []
    for pid in pool.pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            worked.append((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
    return worked


async def compare(options: argparse.Namespace) -> dict[str, object]:
    """Run the file in every way."""
    clips = [clip.samples for clip in load_clips(CLIPS)]
    samples = make_dense(clips, options.minutes).samples
    with SharedSegment.create() as segment:
        segment.append(samples)
        try:
            runs = {}
            for name, workers, kills in (
                ("one", 1, None),
                ("several", options.workers, None),
                ("killed", options.workers, options.kill_seconds),
            ):
                settings = Settings(model=options.model, model_dir=options.model_dir, pool_size=workers, max_sessions=8)
                runs[name] = await measure(settings, segment.name, len(samples), kills)
        finally:
            segment.unlink()
    return {
        "audio_seconds": round(len(samples) / SAMPLE_RATE, 1),
        "workers": options.workers,
        "runs": {name: asdict(run) for name, run in runs.items()},
        "speedup": round(runs["one"].seconds / runs["several"].seconds, 3),
        "equal": len({run.digest for run in runs.values()}) == 1,
    }


def main() -> None:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(description="One long file on one worker and on several.")
    parser.add_argument("--model", default=DEMO_MODEL)
    parser.add_argument("--model-dir", type=Path, default=Settings().model_dir)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--kill-seconds", type=float, default=5.0)
    print(json.dumps(asyncio.run(compare(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
