"""Attacks over `/v1/ws`: an open session, and frames that cost more than they weigh, or answers that nobody reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from benchmarks.hostile.peer import (
    BINARY,
    PING,
    PONG,
    TEXT,
    Notes,
    Peer,
    Target,
    connected,
    frame,
    send_paced,
    together,
    undelivered,
    websocket,
)
from benchmarks.playlist import SAMPLE_RATE, load_clips, make_playlist

_CLIPS = Path(__file__).resolve().parents[2] / "tests" / "data"
_CONFIGURE = frame(TEXT, b'{"type":"configure","sample_rate":16000}')
_AUDIO_BYTES = 3_200
_SMALL_BUFFER = 2_048  # the kernel doubles it: soon the server feels that nobody reads
_NON_READERS = 4
_SILENT_SESSIONS = 300
_FULL_PACE_SESSIONS = 100
_FULL_PACE_TOGETHER = 20_000_000  # bytes a second: three times what a hundred sessions may send
_PAUSE = 0.05  # seconds before a connection that was hung up on is opened again


async def tiny_frames(target: Target, notes: Notes) -> None:
    """Send frames of one byte, under a megabyte a second."""
    await _flood(target, notes, frame(BINARY, b"x"))


async def pings(target: Target, notes: Notes) -> None:
    """Send empty pings, and read the pongs."""
    await _flood(target, notes, frame(PING))


async def pongs(target: Target, notes: Notes) -> None:
    """Send pongs that nobody asked for."""
    await _flood(target, notes, frame(PONG))


async def empty_frames(target: Target, notes: Notes) -> None:
    """Send empty binary frames; when the server has had enough, connect again."""
    await _flood(target, notes, frame(BINARY))


async def empty_fragments(target: Target, notes: Notes) -> None:
    """Send messages of a thousand empty fragments, each with a ping in between."""
    await _flood(target, notes, frame(0x02) + (frame(0x00) + frame(PING)) * 1_000 + frame(0x80))


async def configures(target: Target, notes: Notes) -> None:
    """Configure the session without end."""
    await _flood(target, notes, _CONFIGURE)


async def _flood(target: Target, notes: Notes, unit: bytes) -> None:
    async def attack(number: int) -> None:
        while not target.over:
            try:
                async with websocket(target, number) as peer:
                    notes.seen["connections"] += 1
                    answers = asyncio.create_task(peer.drain())
                    try:
                        await send_paced(peer, unit, target, notes, target.pace)
                    finally:
                        answers.cancel()
            except OSError as exc:
                notes.seen[type(exc).__name__] += 1
                await asyncio.sleep(_PAUSE)

    await together(target, len(target.sources), attack)


async def audio_never_reads(target: Target, notes: Notes) -> None:
    """Send speech as fast as the server takes it, in four sessions, and read nothing; again when the server lets go."""
    audio = speech()
    pieces = [frame(BINARY, audio[at : at + _AUDIO_BYTES]) for at in range(0, len(audio), _AUDIO_BYTES)]

    async def send(peer: Peer) -> None:
        await peer.send(_CONFIGURE)
        while True:
            for piece in pieces:
                await peer.send(piece)

    await _never_read(target, notes, send)


async def pings_never_reads(target: Target, notes: Notes) -> None:
    """Send pings at the pace of a flood, in four sessions, and read no pong."""

    async def send(peer: Peer) -> None:
        while True:
            await send_paced(peer, frame(PING, b"x" * 100), target, notes, target.pace / _NON_READERS)

    await _never_read(target, notes, send)


async def _never_read(target: Target, notes: Notes, send: Callable[[Peer], Coroutine[Any, Any, None]]) -> None:
    async def attack(number: int) -> None:
        while not target.over:
            try:
                async with websocket(target, number, receive_buffer=_SMALL_BUFFER) as peer:
                    notes.seen["connections"] += 1
                    await watch_non_reader(target, notes, peer, asyncio.create_task(send(peer)))
            except OSError as exc:
                notes.seen[type(exc).__name__] += 1
                await asyncio.sleep(_PAUSE)

    await together(target, max(_NON_READERS, len(target.sources)), attack)


async def watch_non_reader(target: Target, notes: Notes, peer: Peer, sending: asyncio.Task[None]) -> None:
    """Note for how many seconds the server keeps a peer that reads nothing, at least until the attack is over.

    They count from when the peer's own buffer was full, and bytes remained on the server's side.
    """
    unread_since: float | None = None
    try:
        while not target.over and (left := undelivered(target.port, peer.port)) is not None:
            unread_since = (unread_since or time.monotonic()) if left else None
            await asyncio.sleep(0.1)
        notes.seen["kept_to_the_end" if target.over else "let_go"] += 1
    finally:
        notes.keep(0.0 if unread_since is None else time.monotonic() - unread_since)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def full_pace(target: Target, notes: Notes) -> None:
    """Play speech in a hundred sessions as fast as the server takes it, and read what it says."""
    audio = speech()
    pieces = b"".join(frame(BINARY, audio[at : at + _AUDIO_BYTES]) for at in range(0, len(audio), _AUDIO_BYTES))

    async def attack(number: int) -> None:
        try:
            async with websocket(target, number) as peer:
                notes.seen["connections"] += 1
                answers = asyncio.create_task(peer.drain())
                try:
                    await peer.send(_CONFIGURE)
                    pace = _FULL_PACE_TOGETHER / _FULL_PACE_SESSIONS
                    await send_paced(peer, pieces, target, notes, pace)
                finally:
                    answers.cancel()
        except OSError as exc:
            notes.seen[type(exc).__name__] += 1

    await together(target, _FULL_PACE_SESSIONS, attack)


async def silent_sessions(target: Target, notes: Notes) -> None:
    """Open 300 sessions that send no audio, and answer the server's pings."""

    async def attack(number: int) -> None:
        while not target.over:
            try:
                async with websocket(target, number) as peer:
                    notes.seen["connections"] += 1
                    while piece := await peer.receive():
                        if piece[:1] == bytes([PING]):
                            await peer.send(frame(PONG, piece[2 : 2 + piece[1]]))
                        if b'"ready"' in piece:
                            notes.seen["ready"] += 1
                    notes.seen["hung_up"] += 1
            except OSError as exc:
                notes.seen[type(exc).__name__] += 1
            await asyncio.sleep(1)

    await together(target, _SILENT_SESSIONS, attack)


async def half_open_handshakes(target: Target, notes: Notes) -> None:
    """Begin 200 handshakes a second and hang up before the answer."""

    async def attack(number: int) -> None:
        while not target.over:
            async with connected(target, number) as peer:
                await peer.send(
                    target.head("GET /v1/ws", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
                )
                notes.seen["connections"] += 1
            await asyncio.sleep(0.1)

    await together(target, 20, attack)


def speech() -> bytes:
    """Return half a minute of speech, 16-bit PCM at 16 kHz."""
    clips = load_clips(_CLIPS)
    return make_playlist(clips, 30.0, 1, speech_share=0.9).samples[: 30 * SAMPLE_RATE].astype("<i2").tobytes()
