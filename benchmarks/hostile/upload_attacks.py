"""Attacks with whole files: what takes long to decode, much memory, a place for ever, or answers that nobody reads."""

from __future__ import annotations

import asyncio
import io
import wave

import numpy as np

from benchmarks.hostile.bombs import long_flac, slow_flac
from benchmarks.hostile.peer import Notes, Target, connected, every, together
from benchmarks.hostile.websocket_attacks import speech, watch_non_reader

_SLOW_UPLOADS = 40
_SLOW_BYTES = 1_100_000
_BOMBS = 12
_BOMB_SECONDS = 3_600.0
_TINY_EVERY = 1 / 7
_DRIP = 700  # bytes a second: just over the 16 KiB in 30 s that a body has to bring
DRIPPED_BODY_LIMIT = 2_000_000  # of a server that is dripped at: two bodies of this size fill its room for bodies
_DRIPPED_LEFT = 60_000  # bytes of each body that are dripped; the others come at once
_NON_READERS = 2
_TIMES = 80  # half a minute each


def upload(target: Target, body: bytes, path: str = "/v1/transcribe") -> bytes:
    """Build the request that uploads a file."""
    return target.head(f"POST {path}", f"Content-Length: {len(body)}") + body


async def slow_uploads(target: Target, notes: Notes) -> None:
    """Keep 40 uploads going, each of 1.1 MB that take as long to decode as a file may."""
    await _keep_uploading(target, notes, _SLOW_UPLOADS, slow_flac(_SLOW_BYTES))


async def bombs(target: Target, notes: Notes) -> None:
    """Keep a dozen uploads going, each of 12 kB that hold an hour."""
    await _keep_uploading(target, notes, _BOMBS, long_flac(_BOMB_SECONDS))


async def _keep_uploading(target: Target, notes: Notes, count: int, body: bytes) -> None:
    request = upload(target, body)

    async def attack(number: int) -> None:
        while not target.over:
            try:
                async with connected(target, number) as peer:
                    await peer.send(request)
                    notes.seen["uploads"] += 1
                    status = await peer.status(target.left)
                    notes.seen[f"status_{status}" if status else "hung_up"] += 1
            except OSError as exc:
                notes.seen[type(exc).__name__] += 1
            await asyncio.sleep(0.5)  # even where it is refused at once

    await together(target, count, attack)


async def tiny_files(target: Target, notes: Notes) -> None:
    """Upload seven files a second of three bytes each."""

    async def attempt(number: int) -> None:
        try:
            async with connected(target, number) as peer:
                await peer.send(upload(target, b"abc"))
                notes.seen[f"status_{await peer.status(30)}"] += 1
        except OSError as exc:
            notes.seen[type(exc).__name__] += 1

    await every(target, _TINY_EVERY, attempt)


async def dripped_bodies(target: Target, notes: Notes) -> None:
    """Fill the room for bodies with two that are nearly complete, and drip the rest of them at 700 bytes a second."""
    body = bytes(DRIPPED_BODY_LIMIT - 1_000)
    head = target.head("POST /v1/transcribe", f"Content-Length: {len(body)}")

    async def attack(number: int) -> None:
        while not target.over:
            try:
                async with connected(target, number) as peer:
                    await peer.send(head + body[:-_DRIPPED_LEFT])
                    notes.seen["bodies"] += 1
                    answer = asyncio.create_task(peer.status(target.left))
                    while not answer.done():
                        await peer.send(bytes(_DRIP // 2))
                        await asyncio.wait([answer], timeout=0.5)
                    notes.seen[f"status_{answer.result()}"] += 1
            except ConnectionError:
                notes.seen["hung_up"] += 1
            await asyncio.sleep(0.2)

    await together(target, 2, attack)


async def sse_never_reads(target: Target, notes: Notes) -> None:
    """Have files of forty minutes told as events, and read none; again when the server lets go."""
    request = upload(target, long_speech(), "/v1/transcribe/stream")

    async def attack(number: int) -> None:
        while not target.over:
            try:
                async with connected(target, number, receive_buffer=2_048) as peer:
                    notes.seen["uploads"] += 1
                    sending = asyncio.create_task(peer.send(request))
                    await watch_non_reader(target, notes, peer, sending)
            except OSError as exc:
                notes.seen[type(exc).__name__] += 1
                await asyncio.sleep(0.5)

    await together(target, max(_NON_READERS, len(target.sources)), attack)


def long_speech() -> bytes:
    """Return forty minutes of speech as a WAV file of 8 kHz and 8 bits: its events are more than a socket's buffers."""
    samples = np.frombuffer(speech(), "<i2")[::2]
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8_000)
        file.writeframes(((samples >> 8) + 128).astype(np.uint8).tobytes() * _TIMES)
    return target.getvalue()
