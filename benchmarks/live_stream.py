"""One live stream of a benchmark: a microphone that plays a playlist and takes notes.

Runs as a task of the benchmark's event loop; all clock times are `time.monotonic()` seconds.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from benchmarks.playlist import SAMPLE_RATE, Playlist

_CLOSE_SECONDS = 120.0


@dataclass(slots=True)
class Record:
    """What one stream saw. `sent[i]` is when chunk i had been handed to the socket."""

    playlist: Playlist
    chunk_samples: int
    refused: str = ""
    retry_after: float = 0.0  # seconds, where it was refused
    began: float = 0.0
    stopped: float = 0.0
    sent: list[float] = field(default_factory=list)
    partials: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    finals: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    partials_of_final: list[list[tuple[float, dict[str, Any]]]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(final["text"] for _, final in self.finals if final["text"])

    def sent_at(self, seconds: float) -> float:
        """When the sample at `seconds` of the playlist had been sent."""
        index = min(int(seconds * SAMPLE_RATE) // self.chunk_samples, len(self.sent) - 1)
        return self.sent[index]


async def play(
    url: str,
    playlist: Playlist,
    *,
    chunk_ms: int,
    paced: bool,
    close_seconds: float = _CLOSE_SECONDS,
    fields: Mapping[str, Any] | None = None,
    **options: Any,
) -> Record:
    """Stream a playlist and return the notes; a refusal is noted, not raised.

    Args:
        paced: as a microphone does; else as fast as the server takes it.
        fields: more of `configure`.
        close_seconds: how long the last final and the close may take.
        options: of `websockets.connect`.
    """
    chunk = SAMPLE_RATE * chunk_ms // 1000
    record = Record(playlist, chunk)
    try:
        async with connect(url, max_size=None, compression=None, open_timeout=60, **options) as socket:
            ready = json.loads(await socket.recv())
            if ready["type"] != "ready":
                record.refused = ready.get("code", ready["type"])
                record.retry_after = ready.get("retry_after_ms", 0) / 1000
                return record
            await socket.send(json.dumps({"type": "configure", "sample_rate": SAMPLE_RATE, **(fields or {})}))
            reader = asyncio.create_task(_read(socket, record))
            await _send(socket, record, chunk, paced)
            await asyncio.wait_for(reader, close_seconds)
    except InvalidStatus as exc:
        record.refused = str(exc.response.status_code)
        record.retry_after = float(exc.response.headers.get("retry-after", 0))
    except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError) as exc:
        record.errors.append(type(exc).__name__)
    return record


async def _send(socket: Any, record: Record, chunk: int, paced: bool) -> None:
    data = record.playlist.samples.astype("<i2").tobytes()
    record.began = time.monotonic()
    for index, at in enumerate(range(0, len(data), 2 * chunk)):
        if paced:  # a microphone hands a chunk over when its last sample has been spoken
            due = record.began + (index + 1) * chunk / SAMPLE_RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await socket.send(data[at : at + 2 * chunk])
        record.sent.append(time.monotonic())
    record.stopped = time.monotonic()
    await socket.send('{"type":"stop"}')


async def _read(socket: Any, record: Record) -> None:
    open_partials: list[tuple[float, dict[str, Any]]] = []
    async for text in socket:
        now, message = time.monotonic(), json.loads(text)
        if message["type"] == "partial":
            record.partials.append((now, message))
            open_partials.append((now, message))
        elif message["type"] == "final":
            record.finals.append((now, message))
            record.partials_of_final.append(open_partials)
            open_partials = []
        elif message["type"] == "error":
            record.errors.append(message["code"])
