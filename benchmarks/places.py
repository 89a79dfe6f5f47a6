"""Places under a rush: `python -m benchmarks.places [--model DIR] [--clients 40] [--seconds 120] [--starts 10 --busy]`.

Starts the real server with `--max-sessions auto`, and has more clients come at once than fit. Who is refused comes
again when it was told to. Prints one JSON object for each start: places through the time, how late the finals of those
were who were let in, and how the others were refused.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.live import cores, decision_latencies, percentiles
from benchmarks.live_stream import Record, play
from benchmarks.playlist import SAMPLE_RATE, Playlist, load_clips, make_playlist
from benchmarks.server_process import ServerProcess, model_flags, serve

_LOOK_SECONDS = 5.0
_LEAST_AUDIO_SECONDS = 5.0
_BURN = "while True: pass"


@dataclass(slots=True)
class Rush:
    """What the clients of one start saw."""

    records: list[Record] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)  # seconds until it was told
    without_retry_after: int = 0
    places: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)


async def come_again(server: ServerProcess, playlist: Playlist, until: float, wait: str, rush: Rush) -> None:
    """Ask for a place until there is one or the time is over; then speak to the end of the time."""
    headers = {"prefer": f"wait={wait}"} if wait else {}
    while (left := until - time.monotonic()) > _LEAST_AUDIO_SECONDS:
        began = time.monotonic()
        rest = Playlist(playlist.samples[: int(left * SAMPLE_RATE)], "", ())
        record = await play(server.websocket, rest, chunk_ms=100, paced=True, additional_headers=headers)
        if not record.refused:
            rush.records.append(record)
            return
        rush.refusals.append(time.monotonic() - began)
        rush.without_retry_after += record.retry_after == 0.0
        await asyncio.sleep(max(0.1, record.retry_after))


async def watch(server: ServerProcess, rush: Rush) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        while True:
            body = (await client.get(f"{server.http}/v1/capacity")).json()
            rush.places.append(body["places"])
            rush.taken.append(body["sessions"])
            await asyncio.sleep(_LOOK_SECONDS)


async def measure(server: ServerProcess, playlists: list[Playlist], seconds: float, wait: str) -> dict[str, Any]:
    """Have everybody come at once, and describe what they saw."""
    rush = Rush()
    until = time.monotonic() + seconds
    watching = asyncio.create_task(watch(server, rush))
    await asyncio.gather(*(come_again(server, playlist, until, wait, rush) for playlist in playlists))
    watching.cancel()
    served = [record for record in rush.records if record.finals]
    return {
        "clients": len(playlists),
        "served": len(served),
        "errors": sorted({error for record in served for error in record.errors}),
        "final_after_decision_seconds": percentiles([s for record in served for s in decision_latencies(record)]),
        "refusals": len(rush.refusals),
        "refused_after_seconds": percentiles(rush.refusals),
        "without_retry_after": rush.without_retry_after,
        "places": rush.places,
        "taken": rush.taken,
    }


@contextlib.contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Keep so many processors busy."""
    burning = [subprocess.Popen([sys.executable, "-c", _BURN]) for _ in range(count)]
    try:
        yield
    finally:
        for one in burning:
            one.kill()
            one.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.places", description=__doc__)
    parser.add_argument("--model", default="demo", help="demo, or a folder of model files")
    parser.add_argument("--clips", type=Path, default=Path("tests/data"))
    parser.add_argument("--clients", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--speech-share", type=float, default=0.5)
    parser.add_argument(
        "--wait", default="0", help="seconds to wait before the upgrade; empty: behind it, with patience"
    )
    parser.add_argument("--starts", type=int, default=1)
    parser.add_argument("--busy", action="store_true", help="every second start is on a machine with busy neighbours")
    parser.add_argument("--pool-size", type=int, default=1)
    parser.add_argument("--max-sessions", default="auto")
    parser.add_argument("--cores", default="", help="processors of the server; empty = all")
    options = parser.parse_args()
    clips = load_clips(options.clips)
    playlists = [
        make_playlist(clips, options.seconds, seed, speech_share=options.speech_share)
        for seed in range(options.clients)
    ]
    model = model_flags(options.model)
    flags = [*model, "--pool-size", str(options.pool_size), "--max-sessions", options.max_sessions]
    for start in range(options.starts):
        busy = options.busy and start % 2 == 1
        with contextlib.ExitStack() as stack:
            with neighbours(2 * (os.cpu_count() or 1) if busy else 0):
                server = stack.enter_context(serve(flags, cores=cores(options.cores)))
            result = asyncio.run(measure(server, playlists, options.seconds, options.wait))
        print(json.dumps({"start": start, "busy_at_start": busy, **result}), flush=True)


if __name__ == "__main__":
    main()
