"""Attacks by chance: frames and requests that somebody shook. The same every time, for the same number of seconds."""

from __future__ import annotations

import asyncio
import random

from benchmarks.hostile.peer import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Notes,
    Target,
    connected,
    frame,
    together,
    websocket,
)

_AT_ONCE = 8
_FRAMES_OF_ONE = 400
_ANSWER_SECONDS = 10.0

_TEXTS = (
    b'{"type":"configure","sample_rate":16000}',
    b'{"type":"configure","sample_rate":1e400,"channels":NaN}',
    b'{"type":"stop"}',
    b'{"type":"\\ud800"}',
    b"[" * 5_000,
    b"\xff\xfe\xfa",
    b"\xef\xbb\xbf{}",
    b"",
)


async def fuzzed_frames(target: Target, notes: Notes) -> None:
    """Send hundreds of frames in one session after the other, most of them whole, each session's last one broken."""

    async def attack(number: int) -> None:
        rng = random.Random(number)
        while not target.over:
            count = rng.randint(1, _FRAMES_OF_ONE)
            try:
                async with websocket(target, number) as peer:
                    data = b"".join(_frame(rng) for _ in range(count)) + _broken(rng)
                    answers = asyncio.create_task(peer.drain())
                    try:
                        await peer.send(data)
                        notes.seen["frames"] += count + 1
                        done, _ = await asyncio.wait([answers], timeout=min(_ANSWER_SECONDS, max(0.01, target.left)))
                        if not done and not target.over:
                            notes.seen["unanswered"] += 1
                    finally:
                        answers.cancel()
                    notes.seen["sessions"] += 1
            except OSError as exc:
                notes.seen[type(exc).__name__] += 1
                await asyncio.sleep(0.02)

    await together(target, _AT_ONCE, attack)


def _frame(rng: random.Random) -> bytes:
    match rng.randrange(12):
        case 0 | 1 | 2:
            return frame(BINARY, rng.randbytes(rng.choice((0, 1, 2, 125, 126, 3_200))))
        case 3 | 4:
            return frame(TEXT, _TEXTS[0])
        case 5:
            return frame(TEXT, rng.choice(_TEXTS[:2] + _TEXTS[-2:]))
        case 6:
            return frame(PING, rng.randbytes(rng.randrange(125)))
        case 7:
            return frame(PONG, rng.randbytes(rng.randrange(125)))
        case 8:  # a fragmented message with a ping inside
            return frame(0x02, b"a") + frame(PING) + frame(0x00, b"b") + frame(0x80, b"c")
        case 9:
            return frame(0x01, b'{"type":') + frame(0x80, b'"nothing"}')
        case _:
            return frame(BINARY, rng.randbytes(rng.randrange(64)))


def _broken(rng: random.Random) -> bytes:
    """Return what ends a session, with a ping in the same segment."""
    endings = (
        frame(TEXT, b"\xff\xfe\xfa"),
        frame(0x02) + frame(0x00, b"x") * 1_025,
        frame(0x00, b"x"),
        frame(0x83, b"x"),
        frame(0xC2, b"x"),
        frame(PING, bytes(126)),
        frame(CLOSE, b"\x00"),
        frame(CLOSE, (999).to_bytes(2)),
        frame(CLOSE, (1000).to_bytes(2) + b"\xff"),
        frame(TEXT, rng.choice(_TEXTS)) + frame(TEXT, _TEXTS[2]),
        b"\x82\x7f" + b"\xff" * 8,
        b"\x82\x05hello",
        rng.randbytes(rng.randint(1, 300)),
    )
    ending = rng.choice(endings)
    return rng.choice((ending, ending + frame(PING), frame(PING) + ending + frame(PING) + frame(BINARY, b"x")))


async def mutated_requests(target: Target, notes: Notes) -> None:
    """Send requests of which some bytes were changed, doubled, cut out or moved, one connection each."""
    requests = (
        target.head("GET /health"),
        target.head("GET /v1/models", "Origin: null", "Connection: keep-alive") + target.head("GET /ready"),
        target.head("POST /v1/transcribe", "Content-Length: 5") + b"audio",
        target.head("POST /v1/transcribe/stream", "Transfer-Encoding: chunked")
        + b"5;x=y\r\naudio\r\n0\r\nX: y\r\n\r\n",
        target.head("POST /v1/transcribe", "Expect: 100-continue", "Content-Length: 3") + b"abc",
        target.head("GET /v1/ws", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
        + frame(TEXT, _TEXTS[0]),
        target.head("POST /v1/transcribe", "Connection: Upgrade", "Upgrade: h2c", "Content-Length: 3") + b"abc",
    )

    async def attack(number: int) -> None:
        rng = random.Random(number)
        while not target.over:
            request = bytearray(rng.choice(requests))
            for _ in range(rng.randint(1, 4)):
                _mutate(rng, request)
            try:
                async with connected(target, number) as peer:
                    at = rng.choice((len(request), rng.randint(0, len(request))))
                    await peer.send(bytes(request[:at]))
                    if at < len(request):
                        await asyncio.sleep(0.001)
                        await peer.send(bytes(request[at:]))
                    # What is cut short is answered after the deadline for heads: nobody waits for that here.
                    notes.seen[f"status_{await peer.status(0.3)}"] += 1
            except ConnectionError:
                notes.seen["hung_up"] += 1
            notes.seen["requests"] += 1

    await together(target, 4 * _AT_ONCE, attack)


def _mutate(rng: random.Random, request: bytearray) -> None:
    at, end = sorted(rng.randrange(len(request) + 1) for _ in range(2))
    match rng.randrange(6):
        case 0 if at < len(request):
            request[at] = rng.randrange(256)
        case 1:
            request[at:at] = rng.choice((b"\r\n", b"\n", b"\x00", b" ", b"\t", b":", b",", b"\xff", b"chunked", b"0"))
        case 2:
            del request[at : min(end, at + 8)]
        case 3:
            request[at:at] = request[at:end]
        case 4:
            request += request[at:end]
        case _:
            request[at:at] = rng.choice(
                (
                    b"\r\nContent-Length: 7\r\n",
                    b"\r\nTransfer-Encoding: chunked\r\n",
                    b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
                    b"\r\nExpect: 100-continue\r\n",
                    b"\r\n folded\r\n",
                )
            )
