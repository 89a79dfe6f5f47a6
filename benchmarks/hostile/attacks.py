"""Every attack by its name, and the process that runs one: `python -m benchmarks.hostile.attacks NAME --port PORT`.

An attack is a coroutine function of a target and its notes. It runs in a process of its own, beside the judge, opens
connections to 127.0.0.1 only, and stops by itself. At the end the process prints what it saw, one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from benchmarks.hostile import fuzz_attacks, http_attacks, upload_attacks, websocket_attacks
from benchmarks.hostile.peer import Notes, Target, nice


@dataclass(frozen=True, slots=True)
class Attack:
    """One kind of hostile client.

    Attributes:
        run: attacks the target until its time is over.
        flags: of the server that is attacked, where the attack needs other limits to show within its seconds.
        least_seconds: it has to run, to show what it is about.
    """

    run: Callable[[Target, Notes], Awaitable[None]]
    flags: Sequence[str] = ()
    least_seconds: float = 0.0


ATTACKS: dict[str, Attack] = {
    "pipelined_gets": Attack(http_attacks.pipelined_gets),
    "pipelined_gets_unread": Attack(http_attacks.pipelined_gets_unread),
    "pipelined_hang_up": Attack(http_attacks.hang_up_behind_a_pipelined_request),
    "many_headers": Attack(http_attacks.many_headers),
    "tiny_chunks": Attack(http_attacks.tiny_chunks),
    "chunk_extensions": Attack(http_attacks.chunk_extensions),
    "endless_chunk_extension": Attack(http_attacks.endless_chunk_extension),
    "slow_headers": Attack(http_attacks.slow_headers),
    "h2c_smuggling": Attack(http_attacks.h2c_smuggling),
    "header_only_uploads": Attack(http_attacks.header_only_uploads, least_seconds=15),
    "tiny_frames": Attack(websocket_attacks.tiny_frames),
    "pings": Attack(websocket_attacks.pings),
    "pongs": Attack(websocket_attacks.pongs),
    "empty_frames": Attack(websocket_attacks.empty_frames),
    "empty_fragments": Attack(websocket_attacks.empty_fragments),
    "configures": Attack(websocket_attacks.configures),
    "half_open_handshakes": Attack(websocket_attacks.half_open_handshakes),
    "audio_never_reads": Attack(websocket_attacks.audio_never_reads, least_seconds=20),
    "pings_never_reads": Attack(websocket_attacks.pings_never_reads, least_seconds=20),
    "full_pace": Attack(websocket_attacks.full_pace),
    "silent_sessions": Attack(websocket_attacks.silent_sessions, ("--pool-checkout-timeout-secs", "5")),
    "sse_never_reads": Attack(upload_attacks.sse_never_reads, least_seconds=40),
    "slow_uploads": Attack(upload_attacks.slow_uploads),
    "bombs": Attack(upload_attacks.bombs),
    "dripped_bodies": Attack(
        upload_attacks.dripped_bodies, ("--body-limit-bytes", str(upload_attacks.DRIPPED_BODY_LIMIT))
    ),
    "tiny_files": Attack(upload_attacks.tiny_files),
    "fuzzed_frames": Attack(fuzz_attacks.fuzzed_frames),
    "mutated_requests": Attack(fuzz_attacks.mutated_requests),
}


def sources(count: int) -> tuple[str, ...]:
    """Return so many addresses of this machine for attackers."""
    return tuple(f"127.0.0.{number}" for number in range(2, 2 + count))


def command(
    name: str, port: int, seconds: float, *, addresses: int = 1, key: str = "", own_address: bool = True
) -> list[str]:
    """Return the command that runs an attack.

    Args:
        own_address: attack from addresses that no honest client has; else from 127.0.0.1.
    """
    given = sources(addresses) if own_address else ("127.0.0.1",)
    arguments = ["--port", str(port), "--seconds", str(seconds), "--sources", ",".join(given), "--key", key]
    return [sys.executable, "-m", "benchmarks.hostile.attacks", name, *arguments]


async def run(name: str, target: Target) -> Notes:
    """Run an attack to its end."""
    notes = Notes()
    await ATTACKS[name].run(target, notes)
    return notes


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile.attacks", description=__doc__)
    parser.add_argument("name", choices=ATTACKS)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--sources", default="127.0.0.2", help="addresses to attack from, with commas")
    parser.add_argument("--key", default="", help="an API key that the attacker has")
    options = parser.parse_args()
    nice()
    target = Target(options.port, options.seconds, tuple(options.sources.split(",")), options.key)
    print(asyncio.run(run(options.name, target)).to_json())


if __name__ == "__main__":
    main()
