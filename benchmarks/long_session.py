"""Four hours in one session with a hundred lost connections: `python -m benchmarks.long_session [--hours 4]`.

Ten minutes of speech, over and over, at sixteen times their pace to the real server (demo model), on two sessions at a
time: one that nobody disturbs, the control, and one over a cable that is cut, stalled and closed on one side. Prints
one JSON object: whether all finals are equal, how far times at the end are from those of the second ten minutes, and
what the gateway and the clients hold, early and late. Needs Linux.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import time
from collections import Counter
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from benchmarks.faults.__main__ import CLIPS
from benchmarks.faults.cable import Cable, laid
from benchmarks.faults.streams import Difference, Record, speak
from benchmarks.idle_sockets import private_bytes
from benchmarks.pinned import machine
from benchmarks.playlist import SAMPLE_RATE, Playlist, load_clips, make_playlist
from benchmarks.server_process import serve

STEP = 64 * 640  # samples: a whole number of every unit of the recogniser
_PART_SECONDS = 600.0
_MIB = 2**20


def make_long(hours: float, seed: int) -> tuple[Playlist, float]:
    """Return the whole playlist and the length of the part of which it is made, in seconds."""
    part = make_playlist(load_clips(CLIPS), _PART_SECONDS, seed)
    count = round(3600 * hours / part.seconds)
    samples = part.samples[: len(part.samples) // STEP * STEP]  # all parts fall alike into the recogniser's frames
    return Playlist(np.tile(samples, count), " ".join([part.reference] * count), ()), len(samples) / SAMPLE_RATE


def drift(record: Record, part_seconds: float, whole_seconds: float) -> float:
    """Return by how many seconds words of the last part are off from where the second part has them, at most."""
    words = [word for final in record.finals for word in final[4]]
    offset = whole_seconds - 2 * part_seconds
    second = [(word, start + offset) for word, start, _, _ in words if part_seconds <= start < 2 * part_seconds]
    last = [(word, start) for word, start, _, _ in words if start >= part_seconds + offset]
    matcher = SequenceMatcher(None, [word for word, _ in second], [word for word, _ in last], autojunk=False)
    same = [
        (second[one + index][1], last[other + index][1])
        for one, other, size in matcher.get_matching_blocks()
        for index in range(size)
    ]
    assert len(same) > 0.95 * len(second), "the last part has other words than the second"
    return float(max(abs(one - other) for one, other in same))


async def disturb(cable: Cable, count: int, seconds: float, chance: random.Random) -> Counter[str]:
    """Disturb the cable so many times, at random moments of that time."""
    done: Counter[str] = Counter()
    began = time.monotonic()
    for at in sorted(chance.uniform(0.01, 0.97) * seconds for _ in range(count)):
        await asyncio.sleep(max(0.0, began + at - time.monotonic()))
        done[cable.disturb(chance) or "nothing to disturb"] += 1
    return done


async def run(options: argparse.Namespace) -> dict[str, Any]:
    playlist, part_seconds = make_long(options.hours, options.seed)
    memory: list[tuple[float, float]] = []  # MiB of the gateway, and of this process
    arguments = ["--model", "demo", "--pool-size", "2", "--max-session-secs", "0"]
    with serve(arguments) as server:
        async with laid(server.port) as cable:
            url = f"ws://127.0.0.1:{cable.port}/v1/ws"
            control = asyncio.create_task(speak(server.websocket, playlist, speed=options.speed))
            disturbed = asyncio.create_task(speak(url, playlist, speed=options.speed))
            seconds = playlist.seconds / options.speed
            disturbing = asyncio.create_task(disturb(cable, options.faults, seconds, random.Random(options.seed)))
            while not (control.done() and disturbed.done()):
                await asyncio.sleep(seconds / 100)
                memory.append((private_bytes(server.pid) / _MIB, private_bytes(os.getpid()) / _MIB))
            done = await disturbing
    one, other = await control, await disturbed
    early, late = memory[len(memory) // 10], memory[-2]
    difference = Difference.between(one, other)
    return {
        "machine": machine(None),
        "hours": round(playlist.seconds / 3600, 2),
        "done": dict(done),
        "connections": dict(other.connections),
        "finals": len(one.finals),
        "words": len(one.words),
        "lost": difference.lost,
        "repeated": difference.repeated,
        "different_finals": difference.different_finals,
        "failures": [record.failure for record in (one, other) if record.failure],
        "drift_ms": round(1000 * drift(other, part_seconds, playlist.seconds)),
        "most_kept_seconds": round(other.most_kept_seconds, 1),
        "gateway_mib": {"early": round(early[0], 1), "late": round(late[0], 1)},
        "clients_mib": {"early": round(early[1], 1), "late": round(late[1], 1)},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=4.0)
    parser.add_argument("--speed", type=float, default=16.0)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    print(json.dumps(asyncio.run(run(parser.parse_args())), ensure_ascii=False, indent=2))
