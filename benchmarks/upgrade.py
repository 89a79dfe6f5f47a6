"""Workers replaced under live streams: `python -m benchmarks.upgrade [--model DIR] [--streams 20] [--times 3]`.

Plays the streams once undisturbed, one after the other faster than speech, and once at their pace, all together, while
all workers are replaced several times. Prints one JSON object: how many transcripts are equal, and what was late.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.live import decision_latencies, percentiles
from benchmarks.live_stream import Record, play
from benchmarks.playlist import Playlist, load_clips, make_playlist
from benchmarks.server_process import ServerProcess, model_flags, serve


def replaced(server: ServerProcess) -> float:
    """Return how many workers have been replaced so far."""
    with urllib.request.urlopen(f"{server.http}/metrics", timeout=10) as response:
        rows = response.read().decode().splitlines()
    return next(float(row.split()[1]) for row in rows if row.startswith("gigastt_worker_replacements_total "))


async def measure(server: ServerProcess, playlists: list[Playlist], workers: int, times: int) -> dict[str, Any]:
    control = [await play(server.websocket, playlist, chunk_ms=100, paced=False) for playlist in playlists]
    playing = [
        asyncio.create_task(play(server.websocket, playlist, chunk_ms=100, paced=True)) for playlist in playlists
    ]
    await asyncio.sleep(playlists[0].seconds / 8)
    under_load = 0
    for number in range(1, times + 1):
        os.kill(server.pid, signal.SIGUSR2)
        while await asyncio.to_thread(replaced, server) < number * workers:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.2)
        under_load += sum(not task.done() for task in playing) == len(playing)
    records: list[Record] = await asyncio.gather(*playing)
    return {
        "streams": len(records),
        "workers": workers,
        "times_all_workers_were_replaced": times,
        "of_them_under_all_streams": under_load,
        "equal": sum(one.text == other.text for one, other in zip(control, records, strict=True)),
        "words": sum(len(one.text.split()) for one in control),
        "errors": sorted({error for record in records for error in record.errors}),
        "refused": sum(bool(record.refused) for record in records),
        "final_after_decision_seconds": percentiles([s for record in records for s in decision_latencies(record)]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upgrade", description=__doc__)
    parser.add_argument("--model", default="demo", help="demo, or a folder of model files")
    parser.add_argument("--clips", type=Path, default=Path("tests/data"))
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    clips = load_clips(options.clips)
    playlists = [make_playlist(clips, options.seconds, seed) for seed in range(options.streams)]
    model = model_flags(options.model)
    flags = [*model, "--pool-size", str(options.workers), "--max-sessions", str(2 * options.streams), "--metrics"]
    with serve(flags) as server:
        result = asyncio.run(measure(server, playlists, options.workers, options.times))
    print(json.dumps({"model": options.model, **result}))


if __name__ == "__main__":
    main()
