"""One hostile client, and what everybody else notices of it: `python -m benchmarks.hostile [--attack NAME]`.

For each attack the shipped server is started anew (demo model, two workers); beside the attacker, which is a process
of its own, twenty people speak, each in one session after the other, a file is uploaded every second, and `/health` is
asked every 50 ms. Before them the same without an attack: the control. Prints one JSON object. Needs Linux.

Held is an attack when the honest finals' p95 is at most 1.5 times that of the control, `/health` is answered within
50 ms (p99), a small upload within 5 s (p95), the gateway's memory stays under 150 MB, nobody honest is refused, the log
has no traceback, a client that does not read is gone within 10 s, and nothing passed that must not: a request in a
body, a head over its limit.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.hostile.attacks import ATTACKS, command
from benchmarks.hostile.honest import Honest
from benchmarks.hostile.watch import Peaks, look, tracebacks, watch
from benchmarks.pinned import machine
from benchmarks.playlist import Playlist, load_clips, make_playlist
from benchmarks.server_process import ServerProcess, serve

STREAMS = 20
MOST_FINAL_RATIO = 1.5
MOST_HEALTH_SECONDS = 0.05
MOST_UPLOAD_SECONDS = 5.0  # a file of some ten seconds, which takes a fifth of one alone
MOST_MEMORY_MIB = 150e6 / 2**20
MOST_KEPT_SECONDS = 10.0
BREACHES = ("smuggled", "passed", "unanswered")
_SESSION_SECONDS = 4.0
_WARM_UP_SECONDS = 2.0  # people speak before the attack begins
_ATTACKER_STARTS_SECONDS = 30.0  # the longest an attacker may take beyond its time


async def measure(
    server: ServerProcess, name: str | None, options: argparse.Namespace, keys: list[str]
) -> dict[str, Any]:
    """Use a server for so many seconds, with an attack beside it or without."""
    peaks = Peaks()
    seconds = attack_seconds(name, options)
    honest = Honest(server, options.playlists, STREAMS, keys[1:], not options.same_address)
    before, began = server.usage(), time.monotonic()
    watching = asyncio.create_task(watch(server.pid, peaks))
    using = asyncio.create_task(honest.run(_WARM_UP_SECONDS + seconds))
    await asyncio.sleep(_WARM_UP_SECONDS)
    saw = await attack(server, name, options, keys[:1], watching) if name is not None else None
    seen = await using
    watching.cancel()
    look(server.pid, peaks)
    after = server.usage()
    shares = (after.gateway_cpu_seconds - before.gateway_cpu_seconds) / (time.monotonic() - began)
    return {
        **seen.figures(),
        "gateway_core_share": round(shares, 3),
        "gateway_memory_mib": round(peaks.memory_mib, 1),
        "gateway_files": peaks.files,
        "shared_mib": round(peaks.shared_mib, 1),
        "decoders": peaks.decoders,
        "load": round(os.getloadavg()[0], 2),
        **({"attacker": saw} if saw is not None else {}),
    }


async def attack(
    server: ServerProcess, name: str, options: argparse.Namespace, keys: list[str], watching: asyncio.Task[None]
) -> dict[str, Any]:
    """Run one attack to its end and return what it saw; break it off when the gateway grows without bounds."""
    seconds = attack_seconds(name, options)
    arguments = command(
        name,
        server.port,
        seconds,
        addresses=options.addresses,
        key="".join(keys),
        own_address=not options.same_address,
    )
    attacker = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    output = asyncio.create_task(attacker.communicate())
    try:
        limit = seconds + _ATTACKER_STARTS_SECONDS
        await asyncio.wait({output, watching}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if output.done():
            saw: dict[str, Any] = json.loads((await output)[0] or b"{}")
            return saw
        return {"broken_off": "memory" if watching.done() else "time"}
    finally:
        if attacker.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                attacker.send_signal(signal.SIGKILL)
        await output


def attack_seconds(name: str | None, options: argparse.Namespace) -> float:
    """How long an attack, or the control without one, runs."""
    seconds: float = options.seconds
    return max(seconds, ATTACKS[name].least_seconds) if name is not None else seconds


def judge(result: dict[str, Any], control: dict[str, Any]) -> dict[str, Any]:
    """Compare an attack with the control: the ratio of the finals' p95, and which figures are held."""
    p95, usual = (of["final_seconds"]["p95"] if of["final_seconds"] else None for of in (result, control))
    ratio = round(p95 / usual, 2) if p95 is not None and usual else None
    attacker = result.get("attacker", {})
    kept = attacker.get("kept_seconds")
    held = {
        "finals": ratio is not None and ratio <= MOST_FINAL_RATIO,
        "health": result["health_seconds"]["p99"] <= MOST_HEALTH_SECONDS,
        "uploads": result["upload_seconds"] is not None and result["upload_seconds"]["p95"] <= MOST_UPLOAD_SECONDS,
        "memory": result["gateway_memory_mib"] <= MOST_MEMORY_MIB and "broken_off" not in attacker,
        "nobody_refused": not result["refused"],
        "no_traceback": not result["tracebacks"],
        "no_breach": not any(attacker.get("seen", {}).get(what) for what in BREACHES),
        **({"gone": kept <= MOST_KEPT_SECONDS} if kept is not None else {}),
    }
    return {
        **result,
        "final_p95_to_control": ratio,
        "held": all(held.values()),
        "not_held": [k for k in held if not held[k]],
    }


def run(name: str | None, options: argparse.Namespace, folder: Path, *, control: bool = False) -> list[dict[str, Any]]:
    """Start a server and measure it with an attack, before that without one if asked to; a control, then, is first."""
    keys = [secrets.token_hex(16) for _ in range(STREAMS + 3)] if options.keys else []
    flags = ["--model", "demo", "--pool-size", "2", "--metrics", *(ATTACKS[name].flags if name else ())]
    if keys:
        (folder / "keys").write_text("\n".join(keys), encoding="ascii")
        flags += ["--api-keys-file", str(folder / "keys")]
    log = folder / f"{name or 'control'}.log"
    results: list[dict[str, Any]] = []
    with log.open("wb") as stream, serve(flags, stderr=stream) as server:
        for what in [None, name] if control and name is not None else [name]:
            results.append(asyncio.run(measure(server, what, options, keys)))
    for result in results:
        written = tracebacks(log)
        result["tracebacks"] = len(written)
        result["traceback_kinds"] = sorted(set(written))[:5]
    return results


def main() -> None:
    options = parse()
    names = options.attack or list(ATTACKS)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        [control] = run(None, options, folder)
        print("control", json.dumps(control), file=sys.stderr, flush=True)
        for name in names:
            try:
                *own_control, result = run(name, options, folder, control=options.paired)
                results[name] = judge(result, own_control[0] if own_control else control)
            except (RuntimeError, OSError) as exc:  # the server did not survive, or could not be asked
                results[name] = {"held": False, "not_held": ["alive"], "error": repr(exc)}
            print(name, json.dumps(results[name]), file=sys.stderr, flush=True)
    settings = {"streams": STREAMS, "seconds": options.seconds, "addresses": options.addresses, "keys": options.keys}
    print(json.dumps({**machine(None), **settings, "control": control, "attacks": results}))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__)
    parser.add_argument("--attack", action="append", choices=ATTACKS, help="repeatable; all by default")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each attack")
    parser.add_argument("--addresses", type=int, default=1, help="that the attacker comes from, at most 200")
    parser.add_argument("--same-address", action="store_true", help="the honest and the attacker share one address")
    parser.add_argument("--keys", action="store_true", help="the server asks for keys; the attacker has one of its own")
    parser.add_argument("--paired", action="store_true", help="a control of its own before each attack, on its server")
    parser.add_argument("--clips", type=Path, default=Path("tests/data"), help="with manifest.json and WAV files")
    options = parser.parse_args()
    clips = load_clips(options.clips)
    options.playlists = playlists(clips)
    return options


def playlists(clips: list[Any]) -> list[Playlist]:
    """Return what is said: short sessions, each another one."""
    return [make_playlist(clips, _SESSION_SECONDS, seed) for seed in range(3 * STREAMS)]


if __name__ == "__main__":
    main()
