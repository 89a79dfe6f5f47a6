"""Honest people beside an attacker: they speak, upload and look at `/health`, each from an address of their own.

Runs on the judge's event loop; all clock times are `time.monotonic()` seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from benchmarks.live import decision_latencies, percentiles
from benchmarks.live_stream import Record, play
from benchmarks.playlist import Playlist
from benchmarks.server_process import ServerProcess

_UPLOAD_EVERY = 1.0
_HEALTH_EVERY = 0.05
_HEALTH_SECONDS = 10.0  # after which it has not been answered
_UPLOAD_SECONDS = 60.0
_CLOSE_SECONDS = 20.0
_AGAIN_SECONDS = 0.5  # before one who was refused comes again


@dataclass(slots=True)
class Seen:
    """What the honest saw."""

    records: list[Record] = field(default_factory=list)
    uploads: list[float] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    def figures(self) -> dict[str, Any]:
        """Seconds and counts; `final` is the time from the audio that lets the server decide to the final."""
        finals = [latency for record in self.records for latency in decision_latencies(record)]
        return {
            "sessions": len(self.records),
            "finals": len(finals),
            "final_seconds": percentiles(finals),
            "stop_to_final_seconds": percentiles(
                [r.finals[-1][0] - r.stopped for r in self.records if r.finals and r.stopped]
            ),
            "uploads": len(self.uploads),
            "upload_seconds": percentiles(self.uploads),
            "health": len(self.health),
            "health_seconds": percentiles(self.health),
            "refused": dict(self.refused),
        }


@dataclass(frozen=True, slots=True)
class Honest:
    """The honest clients of one server.

    Attributes:
        playlists: what they say, one after the other; each is one session.
        keys: API keys, one a client; empty for a server that asks for none.
        own_addresses: each client comes from an address of its own; else all come from 127.0.0.1.
    """

    server: ServerProcess
    playlists: Sequence[Playlist]
    streams: int
    keys: Sequence[str] = ()
    own_addresses: bool = True

    async def run(self, seconds: float) -> Seen:
        """Use the server for so long, and until what was begun is done."""
        seen = Seen()
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for number in range(self.streams):
                group.create_task(self._speak(number, until, seen))
            group.create_task(self._upload(until, seen))
            group.create_task(self._look_at_health(until, seen))
        return seen

    async def _speak(self, number: int, until: float, seen: Seen) -> None:
        """Hold one session after the other at the pace of a microphone."""
        await asyncio.sleep(number / self.streams)
        turn = number
        while time.monotonic() < until:
            record = await play(
                self.server.websocket,
                self.playlists[turn % len(self.playlists)],
                chunk_ms=100,
                paced=True,
                close_seconds=_CLOSE_SECONDS,
                local_addr=(self._address(number), 0),
                additional_headers=self._headers(number),
            )
            turn += self.streams
            seen.records.append(record)
            if record.refused or record.errors:
                seen.refused.update(f"live: {why}" for why in (record.refused, *record.errors) if why)
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _upload(self, until: float, seen: Seen) -> None:
        """Begin an upload a second, whether those before are done or not."""
        number = self.streams
        transport = httpx.AsyncHTTPTransport(local_address=self._address(number))
        async with (
            httpx.AsyncClient(timeout=_UPLOAD_SECONDS, transport=transport, headers=self._headers(number)) as client,
            asyncio.TaskGroup() as group,
        ):
            turn = 0
            while time.monotonic() < until:
                group.create_task(self._upload_once(client, self.playlists[turn % len(self.playlists)].wav(), seen))
                turn += 1
                await asyncio.sleep(_UPLOAD_EVERY)

    async def _upload_once(self, client: httpx.AsyncClient, body: bytes, seen: Seen) -> None:
        began = time.monotonic()
        try:
            response = await client.post(f"{self.server.http}/v1/transcribe", content=body)
        except httpx.HTTPError as exc:
            seen.refused[f"upload: {type(exc).__name__}"] += 1
            return
        if response.status_code == 200:
            seen.uploads.append(time.monotonic() - began)
        else:
            seen.refused[f"upload: {response.status_code}"] += 1

    async def _look_at_health(self, until: float, seen: Seen) -> None:
        """Ask every 50 ms, each time over a new connection, whether the question before is answered or not."""
        async with asyncio.TaskGroup() as group:
            while time.monotonic() < until:
                group.create_task(self._look_once(seen))
                await asyncio.sleep(_HEALTH_EVERY)

    async def _look_once(self, seen: Seen) -> None:
        began = time.monotonic()
        status = "no answer"
        with contextlib.suppress(OSError):
            async with asyncio.timeout(_HEALTH_SECONDS):
                reader, writer = await asyncio.open_connection(
                    self.server.host, self.server.port, local_addr=(self._address(self.streams + 1), 0)
                )
                try:
                    writer.write(
                        f"GET /health HTTP/1.1\r\nHost: {self.server.host}\r\nConnection: close\r\n\r\n".encode()
                    )
                    status = (await reader.readline()).decode("latin-1")[9:12] or "hung up"
                finally:
                    writer.close()
        seen.health.append(time.monotonic() - began)
        if status != "200":
            seen.refused[f"health: {status}"] += 1

    def _address(self, number: int) -> str:
        return f"127.0.1.{number + 1}" if self.own_addresses else "127.0.0.1"

    def _headers(self, number: int) -> dict[str, str]:
        return {"authorization": f"Bearer {self.keys[number]}"} if self.keys else {}
