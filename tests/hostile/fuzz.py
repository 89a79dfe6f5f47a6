"""Mutated requests: whole ones from the table of raw cases, bent at random, the same for the same seed."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections.abc import Sequence

from tests.hostile.raw_http_cases import CASES, HOST, KEY

PATHS = (
    b"/a",
    b"/health",
    b"/ready",
    b"/metrics",
    b"/v1/models",
    b"/v1/transcribe",
    b"/v1/transcribe/stream",
    b"/v1/ws",
)
WEBSOCKET = b"GET /v1/ws HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n" + KEY + b"\r\n"
SEEDS = [case.raw[:3000] for case in CASES] + [WEBSOCKET, WEBSOCKET + b"\x81\x85\0\0\0\0hello\x88\x80\0\0\0\0"]
TOKENS = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"-1",
    b"%00",
    b"#",
    b"?",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 5\r\n",
    b"Connection: close\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
    b"Origin: null\r\n",
    b"X-Request-Id: \xe4\r\n",
    b"HTTP/1.0",
    b"CONNECT ",
    b"Authorization: Bearer \xff\r\n",
    b"Access-Control-Request-Method: \x80\r\n",
    b"99999999999999999999",
    b"\x82\xfe\xff\xff",
)
AT_ONCE = 32


def mutate(rng: random.Random) -> bytes:
    """Return a request, or several, in which something is wrong."""
    raw = b"".join(rng.choice(SEEDS) for _ in range(rng.choice((1, 1, 1, 2, 3))))
    raw = re.sub(rb"/(a|early|forbidden)", lambda _: rng.choice(PATHS), raw)
    for _ in range(rng.randrange(6)):
        start = rng.randrange(len(raw) + 1)
        end = min(len(raw), start + rng.randrange(20))
        raw = rng.choice(
            (
                raw[:start] + raw[end:],
                raw[:start] + rng.choice(TOKENS) + raw[start:],
                raw[:start] + rng.choice(TOKENS) + raw[end:],
                raw[:start] + raw[start:end] * 2 + raw[end:],
                raw[:start] + rng.randbytes(end - start) + raw[end:],
                raw[:start],
            )
        )
    return raw


async def fuzz(port: int, count: int, seed: int) -> None:
    """Send so many mutated requests, each over a connection of its own that ends in one of several ways.

    The caller looks at what the server makes of it: nothing, in its log and in its event loop.
    """
    rng = random.Random(seed)
    room = asyncio.Semaphore(AT_ONCE)

    async def one(raw: bytes, cuts: Sequence[int], end: str) -> None:
        async with room:
            await _send(port, [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)], end)

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            raw = mutate(rng)
            cuts = sorted(rng.randrange(len(raw) + 1) for _ in range(rng.randrange(4)))
            group.create_task(one(raw, cuts, rng.choice(("close", "reset", "half-close", "read"))))
            if rng.randrange(AT_ONCE) == 0:
                await asyncio.sleep(0)


async def _send(port: int, pieces: Sequence[bytes], end: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with contextlib.suppress(OSError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if end == "half-close":
                writer.write_eof()
            if end in ("half-close", "read"):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1.0 if end == "half-close" else 0.05):
                        while await reader.read(65536):
                            pass
    finally:
        if end == "reset":
            writer.transport.abort()
        writer.close()
