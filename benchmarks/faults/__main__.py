"""Live sessions amid faults, compared with control runs: `python -m benchmarks.faults`.

People speak at the pace of speech to the shipped server (demo model, two workers), over a cable that is cut, stalled,
closed on one side and made anew out of order, at random; meanwhile workers are killed, and the server is replaced by
another, which shares its secret. Every final must be the one of the control run: number, text, times and words. Where
both runs are at one speed, it tells how much later than undisturbed words were shown: all, and the first behind each
kill (in each stream, also where its worker lived on). Prints one JSON object, and exits with 1 if a word was lost, came
twice or differs. Needs Linux.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.faults.cable import Cable, laid
from benchmarks.faults.streams import Difference, Record, delay_behind, delays, speak
from benchmarks.live import percentiles
from benchmarks.pinned import machine
from benchmarks.playlist import Playlist, load_clips, make_playlist
from benchmarks.server_process import ServerProcess, serve

CLIPS = Path(__file__).resolve().parent.parent.parent / "tests" / "data"
DRAIN_SECONDS = 8.0  # half of it for clients that can resume to go


class Stage:
    """The cable, and the server behind it of the moment."""

    def __init__(self, cable: Cable, secret: Path, arguments: list[str]) -> None:
        self.server: ServerProcess
        self.done: Counter[str] = Counter()
        self.kills: list[float] = []  # when, by the monotonic clock
        self._cable = cable
        self._secret = secret
        self._arguments = arguments
        self._servers = contextlib.ExitStack()

    async def replace(self) -> None:
        """Start a server, send new connections there, and stop the one before."""
        before, self._servers = self._servers, contextlib.ExitStack()
        arguments = ["--secret-file", str(self._secret), "--shutdown-drain-secs", str(DRAIN_SECONDS), *self._arguments]
        self.server = await asyncio.to_thread(self._servers.enter_context, serve(arguments))
        self._cable.upstream = self.server.port
        await asyncio.to_thread(before.close)  # SIGTERM, and the drain

    def close(self) -> None:
        self._servers.close()

    def disturb(self, chance: random.Random) -> None:
        """Do something to one connection, if there is one."""
        if (fault := self._cable.disturb(chance)) is not None:
            self.done[fault] += 1

    def kill(self, chance: random.Random) -> None:
        """Kill a worker, if there is one."""
        pids = self.server.worker_pids()
        if pids:
            os.kill(chance.choice(pids), signal.SIGKILL)
            self.done["killed"] += 1
            self.kills.append(time.monotonic())


async def torment(stage: Stage, options: argparse.Namespace, chance: random.Random, over: asyncio.Event) -> None:
    """Spread faults, kills and replacements evenly, each at a random moment, over the time that people speak."""
    seconds = options.seconds / options.speed
    plan = [(chance.uniform(0.03, 0.97) * seconds, "fault") for _ in range(options.faults)]
    plan += [(chance.uniform(0.03, 0.97) * seconds, "kill") for _ in range(options.kills)]
    plan += [((index + 1) / (options.replacements + 1) * seconds, "replace") for index in range(options.replacements)]
    began, replacing = time.monotonic(), asyncio.create_task(asyncio.sleep(0))
    for at, what in sorted(plan):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), max(0.0, began + at - time.monotonic()))
        if what == "replace":
            await replacing
            replacing = asyncio.create_task(stage.replace())
            stage.done["replaced"] += 1
        elif what == "kill":
            stage.kill(chance)
        else:
            stage.disturb(chance)
    await replacing


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Play every playlist without faults, then all at once amid them; return what came of it."""
    clips = load_clips(CLIPS)
    playlists = [make_playlist(clips, options.seconds, options.seed + index) for index in range(options.streams)]
    arguments = ["--model", "demo", "--pool-size", "2", "--max-sessions", str(2 * options.streams), "--metrics"]
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder) / "secret"
        secret.write_text(secrets.token_hex(32), encoding="ascii")
        async with laid(0) as cable:
            stage = Stage(cable, secret, arguments)
            try:
                await stage.replace()
                controls = await play_all(stage.server.websocket, playlists, options.control_speed)
                over, began = asyncio.Event(), time.monotonic()
                url = f"ws://127.0.0.1:{cable.port}/v1/ws"
                tormenting = asyncio.create_task(torment(stage, options, chance, over))
                disturbed = await play_all(url, playlists, options.speed)
                over.set()
                await tormenting
                seconds = time.monotonic() - began
            finally:
                await asyncio.to_thread(stage.close)
    return report(options, controls, disturbed, stage, seconds)


async def play_all(url: str, playlists: list[Playlist], speed: float) -> list[Record]:
    """Stream them all at once."""
    return list(await asyncio.gather(*(speak(url, playlist, speed=speed) for playlist in playlists)))


def report(
    options: argparse.Namespace, controls: list[Record], disturbed: list[Record], stage: Stage, seconds: float
) -> dict[str, Any]:
    differences = [Difference.between(one, other) for one, other in zip(controls, disturbed, strict=True)]
    connections: Counter[str] = Counter()
    for record in disturbed:
        connections += record.connections
    return {
        "machine": machine(None),
        "seed": options.seed,
        "seconds": round(seconds, 1),
        "streams": len(disturbed),
        "done": dict(stage.done),
        "connections": dict(connections),
        "finals": sum(len(record.finals) for record in controls),
        "words": sum(len(record.words) for record in controls),
        "lost": sum(each.lost for each in differences),
        "repeated": sum(each.repeated for each in differences),
        "different_finals": sum(each.different_finals for each in differences),
        "failures": sorted({record.failure for record in [*controls, *disturbed] if record.failure}),
        "errors": dict(Counter(code for record in disturbed for code in record.errors)),
        **(lateness(controls, disturbed, stage.kills) if options.speed == options.control_speed else {}),
        "most_kept_seconds": round(max(record.most_kept_seconds for record in disturbed), 1),
        "differing": [
            {"stream": index, **asdict(each)} for index, each in enumerate(differences) if any(asdict(each).values())
        ],
    }


def lateness(controls: list[Record], disturbed: list[Record], kills: list[float]) -> dict[str, Any]:
    """Return how much later words were shown, all of them and the first behind each kill, in seconds."""
    pairs = list(zip(controls, disturbed, strict=True))
    all_words = [seconds for one, other in pairs for seconds in delays(one, other)]
    behind = [delay_behind(one, other, kill - other.began) for one, other in pairs for kill in kills]
    first = [seconds for seconds in behind if seconds is not None]
    return {
        name: {**(percentiles(late) or {}), "most": round(max(late, default=0.0), 3)}
        for name, late in (("word_late_seconds", all_words), ("first_word_late_seconds", first))
    }


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=150.0, help="of audio in each stream")
    parser.add_argument("--speed", type=float, default=1.0, help="of speech amid faults, 1 is natural")
    parser.add_argument("--control-speed", type=float, default=4.0, help="of the same without")
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--replacements", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


def failed(found: dict[str, Any]) -> bool:
    """Whether anything was lost, came twice or differs."""
    return bool(found["lost"] or found["repeated"] or found["different_finals"] or found["failures"])


if __name__ == "__main__":
    found = asyncio.run(run(parse(sys.argv[1:])))
    print(json.dumps(found, ensure_ascii=False, indent=2))
    sys.exit(failed(found))
