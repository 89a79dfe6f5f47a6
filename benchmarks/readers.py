"""What readers of captions cost the gateway: `python -m benchmarks.readers [--readers 10] [--seconds 20] [--rounds 3]`.

One session is spoken to the real server (demo model, one worker) at the pace of speech, in turns with nobody who reads
along and with so many readers, of whom one stalls: it opens the stream and never reads. Prints one JSON object: the
processor time that the gateway took for each reader, in milliseconds a second, whether every other reader was told
every final, and how much later than the speaker it heard of them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import secrets
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.live_stream import play
from benchmarks.pinned import machine
from benchmarks.playlist import Playlist, load_clips, make_playlist
from benchmarks.server_process import ServerProcess, serve


@dataclass
class Reader:
    """One who follows a session: when it was told which final."""

    finals: list[tuple[float, str]] = field(default_factory=list)

    async def follow(self, server: ServerProcess, session: str) -> None:
        """Read along until the session ends."""
        lines, writer = await asyncio.open_connection(server.host, server.port, limit=1 << 20)
        writer.write(_request(server, session))
        async for line in lines:
            event = json.loads(line[5:]) if line.startswith(b"data:") else {"type": ""}
            if event["type"] == "final" and event["text"]:
                self.finals.append((time.monotonic(), event["text"]))
            if event["type"] == "end":
                break
        writer.close()


def _request(server: ServerProcess, session: str) -> bytes:
    return f"GET /v1/sessions/{session}/events HTTP/1.1\r\nHost: {server.host}\r\n\r\n".encode()


@contextlib.contextmanager
def stalled(server: ServerProcess, session: str) -> Iterator[None]:
    """Open the stream, and read nothing of it."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((server.host, server.port))
        connection.sendall(_request(server, session))
        yield


async def speak(server: ServerProcess, playlist: Playlist, count: int) -> tuple[float, list[Reader], list[float]]:
    """Speak once before so many readers; return the gateway's seconds, the readers, and their delays in seconds."""
    session, readers = secrets.token_hex(8), [Reader() for _ in range(max(0, count - 1))]
    following = [asyncio.create_task(reader.follow(server, session)) for reader in readers]
    with stalled(server, session) if count else contextlib.nullcontext():
        await asyncio.sleep(1.0)
        before = server.usage().gateway_cpu_seconds
        record = await play(f"{server.websocket}?captions={session}", playlist, chunk_ms=100, paced=True)
        spent = server.usage().gateway_cpu_seconds - before
        async with asyncio.timeout(30):
            await asyncio.gather(*following)
    told = [(at, final["text"]) for at, final in record.finals if final["text"]]
    for reader in readers:
        assert [text for _, text in reader.finals] == [text for _, text in told], "a reader lacks a final"
    delays = [at - own for reader in readers for (at, _), (own, _) in zip(reader.finals, told, strict=True)]
    return spent, readers, delays


async def measure(server: ServerProcess, options: argparse.Namespace) -> dict[str, Any]:
    playlist = make_playlist(load_clips(options.clips), options.seconds, seed=1)
    alone: list[float] = []
    followed: list[float] = []
    delays: list[float] = []
    finals = 0
    for _ in range(options.rounds):
        alone.append((await speak(server, playlist, 0))[0])
        spent, readers, late = await speak(server, playlist, options.readers)
        followed.append(spent)
        delays += late
        finals = len(readers[0].finals)
    more = statistics.median(followed) - statistics.median(alone)
    return {
        "readers": options.readers,
        "stalled": 1,
        "finals_told_to_each": finals,
        "seconds_of_speech": round(playlist.seconds, 1),
        "gateway_seconds_alone": [round(one, 2) for one in alone],
        "gateway_seconds_followed": [round(one, 2) for one in followed],
        "cpu_ms_per_reader_and_second": round(1000 * more / options.readers / playlist.seconds, 3),
        "later_than_the_speaker_ms": {
            "p50": round(1000 * statistics.median(delays), 1),
            "most": round(1000 * max(delays), 1),
        },
    }


def main() -> int:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(description="What readers of captions cost the gateway.")
    parser.add_argument("--readers", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clips", type=Path, default=Path("tests/data"))
    options = parser.parse_args()
    with serve(["--model", "demo", "--pool-size", "1"]) as server:
        told = asyncio.run(measure(server, options))
    print(json.dumps({"machine": machine(None), **told}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
