"""Recognise one long file on one worker, on several, and on several of which one is killed every five seconds.

    python -m benchmarks.one_file [--model demo] [--model-dir DIR] [--workers 2] [--minutes 60] [--kill-seconds 5]

The file is the test clips with short pauses. `speedup` is the time on one worker over that on several. What this
machine allows at the time is measured in the same rounds: `limit` is the time of a bare recogniser over the whole file,
in a process with nothing around it, over that of as many such processes at once, each over its part. Beside each run:
how much of the processors other programs used. `equal` says whether every run gave the same finals, to the last digit.
Medians of `--rounds`, in which all take turns. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import contextlib
import hashlib
import json
import multiprocessing
import os
import signal
import statistics
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
from gigastt.rendering import final_fields
from gigastt.speech.recognizer import Recognizer
from gigastt.speech.recording import transcribe_recording
from gigastt.transcribe import load_recognizer
from gigastt.transcript import Final, Options

CLIPS = Path(__file__).resolve().parent.parent / "tests" / "data"


@dataclass(frozen=True, slots=True)
class Run:
    """One time through the file.

    seconds: by the clock.
    worker_seconds: of a processor, by each worker that lived to the end; gateway_seconds by this process.
    idle_seconds: in which each of them had nothing to do, and did not wait for a processor either.
    digest: of all finals.
    kills: of workers.
    others: processors that other programs used, and workers that were killed.
    """

    seconds: float
    worker_seconds: list[float]
    idle_seconds: list[float]
    gateway_seconds: float
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
        busy_before, before = _busy_seconds(), _look_at_workers(pool)
        gateway_before = time.process_time()
        killing = asyncio.create_task(kill_workers(pool, kill_seconds, killed)) if kill_seconds else None
        async for event in transcribe_files(pool, [FileSource(segment, samples)], Options(partials=False)):
            if isinstance(event, Final):
                fields = {name: value for name, value in final_fields(event).items() if name != "timestamp"}
                digest.update(json.dumps(fields, ensure_ascii=False).encode())
                finals += 1
        seconds = time.monotonic() - began
        after = _look_at_workers(pool)
        gateway = time.process_time() - gateway_before
        busy = _busy_seconds() - busy_before
        if killing is not None:
            killing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await killing
    looks = [] if killed else [(after[pid], before[pid]) for pid in before]
    worked = [now.worked - then.worked for now, then in looks]
    idle = [seconds - (now.worked + now.waited - then.worked - then.waited) for now, then in looks]
    return Run(
        round(seconds, 2),
        [round(each, 2) for each in worked],
        [round(each, 2) for each in idle],
        round(gateway, 2),
        finals,
        digest.hexdigest()[:16],
        len(killed),
        round((busy - gateway - sum(worked)) / seconds, 2),
    )


class BareRecognisers:
    """Processes with a recogniser each and nothing around it."""

    recognizer: Recognizer  # in each of the processes

    def __init__(self, settings: Settings, count: int) -> None:
        self._count = count
        context = multiprocessing.get_context("spawn")
        self._pool = concurrent.futures.ProcessPoolExecutor(count, context, _load, (settings.model, settings.model_dir))

    def measure(self, segment: str, samples: int, parts: int) -> float:
        """Return the seconds that a file takes in so many parts at once."""
        bounds = [samples * part // parts for part in range(parts + 1)]
        list(self._pool.map(_recognise, [segment] * self._count, [0] * self._count, [SAMPLE_RATE] * self._count))
        began = time.monotonic()
        list(self._pool.map(_recognise, [segment] * parts, bounds[:-1], bounds[1:]))
        return time.monotonic() - began


def _load(model: str, model_dir: Path) -> None:
    BareRecognisers.recognizer = load_recognizer(model, model_dir)[1]


def _recognise(name: str, begin: int, end: int) -> int:
    with SharedSegment.attach(name) as segment:
        samples = segment.map(end)[begin:]
    return len(list(transcribe_recording(BareRecognisers.recognizer, [samples])))


def _busy_seconds() -> float:
    """Return what all processors of this machine have worked."""
    user, nice, system = map(int, Path("/proc/stat").read_text(encoding="ascii").split("\n")[0].split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Look:
    """Seconds that a worker's main thread has worked, and that it could have and had no processor."""

    worked: float
    waited: float


def _look_at_workers(pool: Pool) -> dict[int, Look]:
    """Look at each worker that lives."""
    looks = {}
    for pid in pool.pids:
        with contextlib.suppress(OSError):
            worked, waited, _ = map(int, Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split())
            looks[pid] = Look(worked / 1e9, waited / 1e9)
    return looks


async def compare(options: argparse.Namespace) -> dict[str, object]:
    """Run the file in every way."""
    clips = [clip.samples for clip in load_clips(CLIPS)]
    samples = make_dense(clips, options.minutes).samples
    with SharedSegment.create() as segment:
        segment.append(samples)
        try:
            bare = BareRecognisers(_settings(options, options.workers), options.workers)
            rounds = [await _run_all(options, bare, segment.name, len(samples)) for _ in range(options.rounds)]
        finally:
            segment.unlink()
    return {
        "audio_seconds": round(len(samples) / SAMPLE_RATE, 1),
        "workers": options.workers,
        "rounds": [{name: asdict(run) for name, run in each.runs.items()} for each in rounds],
        "speedup": _median([each.runs["one"].seconds / each.runs["several"].seconds for each in rounds]),
        "speedup_with_kills": _median([each.runs["one"].seconds / each.runs["killed"].seconds for each in rounds]),
        "limit": _median([each.limit for each in rounds]),
        "equal": len({run.digest for each in rounds for run in each.runs.values()}) == 1,
    }


@dataclass(frozen=True, slots=True)
class Round:
    """Every way once."""

    runs: dict[str, Run]
    limit: float


async def _run_all(options: argparse.Namespace, bare: BareRecognisers, segment: str, samples: int) -> Round:
    several, kills = options.workers, options.kill_seconds
    alone = await asyncio.to_thread(bare.measure, segment, samples, 1)
    runs = {"one": await measure(_settings(options, 1), segment, samples, None)}
    runs["several"] = await measure(_settings(options, several), segment, samples, None)
    together = await asyncio.to_thread(bare.measure, segment, samples, several)
    runs["killed"] = await measure(_settings(options, several), segment, samples, kills)
    return Round(runs, alone / together)


def _settings(options: argparse.Namespace, workers: int) -> Settings:
    return Settings(model=options.model, model_dir=options.model_dir, pool_size=workers, max_sessions=8)


def _median(values: list[float]) -> float:
    return round(statistics.median(values), 3)


def main() -> None:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(description="One long file on one worker and on several.")
    parser.add_argument("--model", default=DEMO_MODEL)
    parser.add_argument("--model-dir", type=Path, default=Settings().model_dir)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--kill-seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=1)
    print(json.dumps(asyncio.run(compare(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
