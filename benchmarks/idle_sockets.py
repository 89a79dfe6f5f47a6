"""What idle WebSockets hold in the gateway: `python -m benchmarks.idle_sockets [--sockets 10000] [--waiting 1000]`.

Clients connect to the real server (demo model, one worker) and say nothing; some have asked to be resumed, have sent
two seconds of audio and lost their connection, so that their sessions wait. Then 200 more connect, one after the other,
each handshake timed. Prints one JSON object. Needs Linux, and open files for both ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import time
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from benchmarks.pinned import machine
from benchmarks.server_process import ServerProcess, serve

_AT_ONCE = 100  # handshakes
_PCM = bytes(64_000)


def private_bytes(pid: int) -> int:
    """Return the resident private memory of a process."""
    rows = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(row.split()[1]) * 1024 for row in rows if row.startswith("RssAnon:"))


async def open_idle(url: str, count: int, at_once: int = _AT_ONCE) -> tuple[list[ClientConnection], list[float]]:
    """Open sockets that say nothing; return them and the seconds that each handshake took."""
    seconds: list[float] = []
    turns = asyncio.Semaphore(at_once)

    async def one() -> ClientConnection:
        async with turns:
            began = time.monotonic()
            socket = await connect(url, compression=None, ping_interval=None, open_timeout=60)
            seconds.append(time.monotonic() - began)
            await socket.recv()
            return socket

    return list(await asyncio.gather(*(one() for _ in range(count)))), seconds


async def leave_waiting(url: str, count: int) -> None:
    """Open sessions that can be resumed, and lose their connections once their audio was taken."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one() -> None:
        async with turns:
            socket = await connect(url, compression=None, ping_interval=None, open_timeout=60)
            await socket.send('{"type":"configure","sample_rate":16000,"resume":true}')
            await socket.send(_PCM)
            while json.loads(await socket.recv()).get("received") != len(_PCM) // 2:
                pass
            socket.transport.abort()

    await asyncio.gather(*(one() for _ in range(count)))


async def measure(server: ServerProcess, options: argparse.Namespace) -> dict[str, Any]:
    sockets, _ = await open_idle(server.websocket, 50)  # so that what is made once is there
    await asyncio.sleep(1.0)
    empty = private_bytes(server.pid)
    idle, _ = await open_idle(server.websocket, options.sockets - options.waiting)
    await asyncio.sleep(1.0)
    with_idle = private_bytes(server.pid)
    await leave_waiting(server.websocket, options.waiting)
    await asyncio.sleep(1.0)
    with_waiting = private_bytes(server.pid)
    last, seconds = await open_idle(server.websocket, 200, at_once=1)
    for socket in [*sockets, *idle, *last]:
        socket.transport.abort()
    return {
        "sockets": len(idle),
        "bytes_each": round((with_idle - empty) / len(idle)),
        "waiting": options.waiting,
        "bytes_each_waiting": round((with_waiting - with_idle) / max(1, options.waiting)),
        "bytes_each_of_all": round((with_waiting - empty) / options.sockets),
        "handshake_p50_ms": round(1000 * statistics.median(seconds), 1),
        "handshake_p99_ms": round(1000 * statistics.quantiles(seconds, n=100)[98], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=10_000)
    parser.add_argument("--waiting", type=int, default=1_000)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    places = ["--max-sessions", str(options.sockets + 300), "--idle-timeout-secs", "900", "--resume-secs", "900"]
    with serve(["--model", "demo", "--pool-size", "1", *places]) as server:
        print(json.dumps({"machine": machine(None), **asyncio.run(measure(server, options))}, indent=2))


if __name__ == "__main__":
    main()
