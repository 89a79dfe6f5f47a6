"""What grows in a server that is never left alone: `python -m benchmarks.soak [--minutes 4]`.

Starts the real server with the demo model. Clients come and stream as fast as they may, some of them drop the
connection amid a word, files are uploaded, and a worker is killed every 20 s. Prints one JSON object: growth of the
gateway's memory after the first minute, its open files and threads when nobody is connected, before and after,
and what the clients saw. Needs Linux: it reads `/proc`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import numpy as np

from benchmarks.live import upload
from benchmarks.live_stream import play
from benchmarks.playlist import Playlist, load_clips, make_playlist
from benchmarks.server_process import ServerProcess, serve

_KILL_SECONDS = 20.0
_SAMPLE_SECONDS = 1.0
_WARM_SECONDS = 60.0
_SETTLE_SECONDS = 10.0
_DROP_SHARE = 0.3  # of the clients go away in the middle
_STREAMS = 6


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a process holds: resident private memory in MiB, open files, threads."""

    memory_mib: float
    files: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Holdings:
        """Read them of a running process."""
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        )
        return cls(
            int(status["RssAnon"].split()[0]) / 1024,
            len(list(Path(f"/proc/{pid}/fd").iterdir())),
            int(status["Threads"]),
        )


async def come_and_go(
    server: ServerProcess, playlists: list[Playlist], seen: Counter[str], over: asyncio.Event, seed: int
) -> None:
    """Connect, stream, and stay to the end or drop the connection; again and again."""
    rng = random.Random(seed)
    while not over.is_set():
        task = asyncio.create_task(play(server.websocket, rng.choice(playlists), chunk_ms=100, paced=False))
        if rng.random() < _DROP_SHARE:
            await asyncio.wait([task], timeout=rng.uniform(0.05, 1.0))
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            seen["dropped"] += 1
        else:
            record = await task
            seen["refused" if record.refused else "errors" if record.errors else "served"] += 1


async def upload_again(playlists: list[Playlist], server: ServerProcess, seen: Counter[str]) -> None:
    """Upload one playlist after the other."""
    async with httpx.AsyncClient(timeout=120) as client:
        for playlist in itertools.cycle(playlists):
            await upload(client, server, playlist)
            seen["uploads"] += 1


async def kill_workers(server: ServerProcess, seen: Counter[str]) -> None:
    """Kill one worker after the other, each when all have come back."""
    for number in itertools.count():
        await asyncio.sleep(_KILL_SECONDS)
        workers = sorted(server.worker_pids())
        os.kill(workers[number % len(workers)], signal.SIGKILL)
        seen["kills"] += 1


async def watch(server: ServerProcess, seconds: float) -> list[tuple[float, float]]:
    """Note (seconds, MiB) of the gateway once a second."""
    begun, notes = time.monotonic(), []
    while (now := time.monotonic() - begun) < seconds:
        notes.append((now, Holdings.of(server.pid).memory_mib))
        await asyncio.sleep(_SAMPLE_SECONDS)
    return notes


async def soak(server: ServerProcess, playlists: list[Playlist], minutes: float) -> dict[str, object]:
    """Load the server for so long, and compare it with itself."""
    seen: Counter[str] = Counter()
    await play(server.websocket, playlists[0], chunk_ms=100, paced=False)
    before = settle(server)
    over = asyncio.Event()
    clients = [asyncio.create_task(come_and_go(server, playlists, seen, over, n)) for n in range(_STREAMS)]
    others = [asyncio.create_task(run(server, seen)) for run in (partial(upload_again, playlists), kill_workers)]
    notes = await watch(server, 60 * minutes)
    over.set()
    for task in others:
        task.cancel()
    ended = await asyncio.gather(*clients, *others, return_exceptions=True)
    after = settle(server)
    late = np.array([note for note in notes if note[0] >= _WARM_SECONDS])
    return {
        "minutes": minutes,
        "growth_mib_per_minute": round(60 * float(np.polyfit(late[:, 0], late[:, 1], 1)[0]), 3),
        "memory_mib": [round(before.memory_mib, 1), round(after.memory_mib, 1)],
        "files": [before.files, after.files],
        "threads": [before.threads, after.threads],
        "seen": dict(seen),
        "failed": [repr(e) for e in ended if e is not None and not isinstance(e, asyncio.CancelledError)],
    }


def settle(server: ServerProcess) -> Holdings:
    """Wait until nobody is connected and every worker is back; return what the gateway holds then."""
    while server.ready().get("status") != "ready":
        time.sleep(0.2)
    time.sleep(_SETTLE_SECONDS)
    return Holdings.of(server.pid)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--clips", type=Path, default=Path("tests/data"))
    options = parser.parse_args()
    clips = load_clips(options.clips)
    playlists = [make_playlist(clips, 20.0, seed) for seed in range(8)]
    with serve(["--model", "demo", "--pool-size", "2", "--max-sessions", "32"]) as server:
        print(json.dumps(asyncio.run(soak(server, playlists, options.minutes))))


if __name__ == "__main__":
    main()
