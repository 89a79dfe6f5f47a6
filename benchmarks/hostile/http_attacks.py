"""Attacks on the HTTP connection, before any key, rate limit or cap is asked. Each is a function of a target."""

from __future__ import annotations

import asyncio

from benchmarks.hostile.bombs import long_flac
from benchmarks.hostile.peer import (
    MEBIBYTE,
    Notes,
    Peer,
    Target,
    connected,
    every,
    many_descriptors,
    send_paced,
    together,
)

_PIPELINED_BYTES = 40 * MEBIBYTE
_HEADERS = 10_000
_HEADS_EVERY = 0.1  # seconds: a head of 10,000 headers has some 80 kB
_CHUNKS_TOGETHER = 10_000_000  # bytes a second
_EXTENSION_BYTES = 16 * MEBIBYTE  # the kernel may take some of them from a connection that nobody reads any more
_SLOW_CONNECTIONS = 500
_HEADER_ONLY_UPLOADS = 10_050
_CONNECTS_AT_ONCE = 200
_SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def pipelined_gets(target: Target, notes: Notes) -> None:
    """Send 40 MB of small requests back to back, as fast as they are taken, and read every answer."""
    await _pipeline(target, notes, reading=True)


async def pipelined_gets_unread(target: Target, notes: Notes) -> None:
    """The same, without reading an answer."""
    await _pipeline(target, notes, reading=False)


async def _pipeline(target: Target, notes: Notes, *, reading: bool) -> None:
    async def attack(number: int) -> None:
        while not target.over and notes.seen["bytes"] < _PIPELINED_BYTES:
            try:
                async with connected(target, number) as peer:
                    notes.seen["connections"] += 1
                    answers = asyncio.create_task(peer.drain()) if reading else None
                    try:
                        await _send_all(target, notes, peer, target.head("GET /") * 4000)
                    finally:
                        if answers is not None:
                            answers.cancel()
            except ConnectionError:
                notes.seen["hung_up"] += 1
                await asyncio.sleep(0.1)

    await together(target, len(target.sources), attack)


async def _send_all(target: Target, notes: Notes, peer: Peer, piece: bytes) -> None:
    while not target.over and notes.seen["bytes"] < _PIPELINED_BYTES:
        for at in range(0, len(piece), 16_384):
            await peer.send(piece[at : at + 16_384])
            notes.seen["bytes"] += len(piece[at : at + 16_384])


async def hang_up_behind_a_pipelined_request(target: Target, notes: Notes) -> None:
    """Upload, ask for something else behind it, and hang up: the job should end, and no traceback be written."""
    body = long_flac(600)
    upload = target.head("POST /v1/transcribe", f"Content-Length: {len(body)}") + body

    async def attempt(number: int) -> None:
        async with connected(target, number) as peer:
            await peer.send(upload)
            await peer.send(target.head("GET /health"))
            await asyncio.sleep(0.1)
            notes.seen["hung_up"] += 1

    await every(target, 0.2, attempt)


async def many_headers(target: Target, notes: Notes) -> None:
    """Send heads of 10,000 headers, each in one piece."""
    head = target.head("GET /health", *(f"{number}:1" for number in range(_HEADERS)))

    async def attempt(number: int) -> None:
        async with connected(target, number) as peer:
            try:
                await peer.send(head)
            except ConnectionError:
                notes.seen["reset"] += 1
                return
            status = await peer.status()
            notes.seen["passed" if status == 200 else f"status_{status}"] += 1

    await every(target, _HEADS_EVERY, attempt)


async def tiny_chunks(target: Target, notes: Notes) -> None:
    """Upload in chunks of one byte, ten megabytes a second: files come at such a pace."""
    await _chunks(target, notes, b"1\r\nx\r\n")


async def chunk_extensions(target: Target, notes: Notes) -> None:
    """Upload one byte for every 32 kB of a chunk's extension."""
    await _chunks(target, notes, b"1;" + b"x" * 32_768 + b"\r\nx\r\n", most=_EXTENSION_BYTES)


async def endless_chunk_extension(target: Target, notes: Notes) -> None:
    """Send one chunk's extension without end."""
    await _chunks(target, notes, b"x" * 32_768, first=b"1;", most=_EXTENSION_BYTES)


async def _chunks(target: Target, notes: Notes, chunk: bytes, *, first: bytes = b"", most: int = 0) -> None:
    """Send chunks at a pace; where more than `most` bytes of them are taken without an answer, they passed."""

    async def attack(number: int) -> None:
        while not target.over:
            sent, answer = Notes(), None
            try:
                async with connected(target, number) as peer:
                    notes.seen["connections"] += 1
                    await peer.send(target.head("POST /v1/transcribe", "Transfer-Encoding: chunked") + first)
                    answer = asyncio.create_task(peer.status(target.left))
                    await send_paced(peer, chunk, target, sent, _CHUNKS_TOGETHER / len(target.sources))
            except ConnectionError:
                notes.seen["hung_up"] += 1
                await asyncio.sleep(0.1)
            finally:
                notes.seen.update(sent.seen)
                if answer is not None and answer.done() and (status := answer.result()):
                    notes.seen[f"status_{status}"] += 1
                elif most and sent.seen["bytes"] > most:
                    notes.seen["passed"] += 1
                if answer is not None:
                    answer.cancel()

    await together(target, len(target.sources), attack)


async def slow_headers(target: Target, notes: Notes) -> None:
    """Hold 500 connections whose heads come a byte a second; open them again when they are cut."""

    async def attack(number: int) -> None:
        while not target.over:
            async with connected(target, number) as peer:
                try:
                    await peer.send(b"GET /health HTTP/1.1\r\nx-slow: ")
                    while True:
                        await peer.send(b"x")
                        await asyncio.sleep(1)
                except ConnectionError:
                    notes.seen["cut"] += 1

    await together(target, _SLOW_CONNECTIONS, attack)


async def header_only_uploads(target: Target, notes: Notes) -> None:
    """Open uploads that announce a body and send none: 10,050, or as many as this process may have sockets."""
    count = min(_HEADER_ONLY_UPLOADS, many_descriptors() - 100)
    head = target.head("POST /v1/transcribe", "Content-Length: 100000")
    opening = asyncio.Semaphore(_CONNECTS_AT_ONCE)

    async def attack(number: int) -> None:
        try:
            async with opening:
                peer = await Peer.connect(target, number)
        except OSError as exc:
            notes.seen[type(exc).__name__] += 1
            return
        try:
            await peer.send(head)
            notes.seen["opened"] += 1
            notes.seen[f"status_{await peer.status(target.left)}"] += 1
        except ConnectionError:
            notes.seen["hung_up"] += 1
        finally:
            peer.reset()

    await together(target, count, attack)


async def h2c_smuggling(target: Target, notes: Notes) -> None:
    """Upload with `Upgrade: h2c`, and send a body that reads like a request in a segment of its own."""
    head = target.head(
        "POST /v1/transcribe",
        *("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
        f"Content-Length: {len(_SMUGGLED)}",
    )

    async def attempt(number: int) -> None:
        async with connected(target, number) as peer:
            try:
                await peer.send(head)
                await asyncio.sleep(0.1)
                await peer.send(_SMUGGLED)
                answers = (await peer.answer(3)).count(b"HTTP/1.1 ")
            except ConnectionError:
                answers = 0
            notes.seen["smuggled" if answers > 1 else f"answers_{answers}"] += 1

    await every(target, 0.1, attempt)
