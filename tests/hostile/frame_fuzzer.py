"""A fuzzer of frames: hostile clients of a real server, drawn from a seed, over raw sockets.

python -m tests.hostile.frame_fuzzer 500000 [SEED [vosk]]
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable

import uvloop

from gigastt.config import Limits
from gigastt.gateway.server.deadlines import Deadlines
from tests.fakes.gateway import Running
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.pool import Fakes
from tests.hostile import stream_fuzzer
from tests.hostile.findings import Findings, watching
from tests.hostile.targets import HEARD, TARGETS, Target
from tests.waiting import wait_until

UPGRADE = (
    b"GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
BROKEN_UPGRADES = (
    UPGRADE.replace(b"Version: 13", b"Version: 7"),
    UPGRADE.replace(b"Sec-WebSocket-Key: AAAA", b"Sec-WebSocket-Key: A"),
    UPGRADE.replace(b"/v1/ws", b"/nowhere"),
    UPGRADE.replace(b"localhost", b"evil.example"),
)
QUICK = Deadlines(head=1.0, body=1.0, linger=0.2, unread=1.0, ping=0.3)
MOST_FRAMES = 30  # of one connection
AT_ONCE = 32


def draw_frame(rng: random.Random, target: Target, *, valid: bool) -> bytes:
    """Draw a frame; a valid one keeps the rules of framing, though not of order."""
    opcode = rng.choice((0, 1, 1, 2, 2, 2, 2, 8, 9, 9, 10))
    fin = rng.random() < 0.8
    reserved = 0
    masked = True
    if not valid and rng.random() < 0.3:
        opcode = rng.randrange(16)
        reserved = rng.choice((0, 0, 0x40, 0x20, 0x10))
        masked = rng.random() < 0.8
    if opcode == 8:
        payload = rng.choice((b"", b"\x03\xe8", b"\x03\xe8bye", b"\x03", b"\x03\xec", b"\x00\x00", b"\x03\xe8\xff"))
        fin = fin or valid
    elif opcode in (9, 10):
        payload = rng.randbytes(rng.choice((0, 0, 4, 125, 126 if not valid else 5)))
        fin = fin or valid
    elif opcode == 1 or rng.random() < 0.1:
        payload = rng.choice(target.texts)
    else:
        payload = rng.choice(target.heads) + rng.randbytes(rng.choice((0, 0, 1, 2, 31, 160, 320, 640, 3_200, 9_600)))
    return encode_frame(opcode, payload, rng, fin=fin, reserved=reserved, masked=masked, lies=not valid)


def encode_frame(
    opcode: int,
    payload: bytes,
    rng: random.Random,
    *,
    fin: bool = True,
    reserved: int = 0,
    masked: bool = True,
    lies: bool = False,
) -> bytes:
    """Write a frame as it crosses the wire; `lies` may write its length otherwise than it is."""
    length = len(payload)
    if lies and rng.random() < 0.1:
        length = rng.choice((length + 1, 0, 2**16 - 1, 2**31, 2**63, 2**64 - 1))
    form = 127 if length > 0xFFFF or rng.random() < 0.03 else 126 if length > 125 or rng.random() < 0.05 else 7
    head = bytes([(0x80 if fin else 0) | reserved | opcode])
    bit = 0x80 if masked else 0
    if form == 7:
        head += bytes([bit | length])
    else:
        head += bytes([bit | form]) + length.to_bytes(2 if form == 126 else 8)
    if not masked:
        return head + payload
    mask = rng.randbytes(4)
    whole = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return head + mask + (int.from_bytes(payload) ^ int.from_bytes(whole)).to_bytes(len(payload))


async def attack(running: Running, target: Target, rng: random.Random, findings: Findings) -> None:
    """Be one hostile client, and see the connection end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    findings.connections += 1
    try:
        opened = rng.random() < 0.95
        upgrade = UPGRADE if opened else rng.choice(BROKEN_UPGRADES)
        writer.write(upgrade.replace(b"/v1/ws", target.path.encode()))
        async with asyncio.timeout(20):
            head = await reader.readuntil(b"\r\n\r\n")
        if (b" 101 " in head) != opened:
            findings.faults.append(f"an unexpected answer: {head!r}")
        count = rng.randint(1, MOST_FRAMES)
        findings.frames += count
        valid = rng.random() < 0.5
        stream = b"".join(draw_frame(rng, target, valid=valid or rng.random() < 0.9) for _ in range(count))
        if target.first is not None and rng.random() < 0.8:
            stream = encode_frame(1, target.first(rng), rng) + stream
        if rng.random() < 0.05:
            findings.frames += 1_030
            stream += encode_frame(2, b"", rng, fin=False) + encode_frame(0, b"", rng, fin=False) * 1_026
            stream += encode_frame(9, b"ping", rng) * 3
        while stream and not writer.transport.is_closing():
            cut = len(stream) if rng.random() < 0.5 else rng.randint(1, len(stream))
            writer.write(stream[:cut])
            stream = stream[cut:]
            if rng.random() < 0.3:
                await asyncio.sleep(0)
        match rng.randrange(4) if not writer.transport.is_closing() else 0:
            case 0:
                writer.transport.abort()
            case 1:
                connected: socket.socket = writer.get_extra_info("socket")
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.close()
            case 2:
                writer.write_eof()
                await _read_to_end(reader, findings)
            case _:
                writer.write(encode_frame(8, b"\x03\xe8", rng))
                await _read_to_end(reader, findings)
    except TimeoutError:
        findings.faults.append("a connection did not end")
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.transport.abort()


async def _read_to_end(reader: asyncio.StreamReader, findings: Findings) -> None:
    """Read frames until the server hangs up; it has to do so soon."""
    async with asyncio.timeout(10):
        while True:
            first, length = await reader.readexactly(2)
            if length == 126:
                length = int.from_bytes(await reader.readexactly(2))
            payload = await reader.readexactly(length)
            if first == 0x81 and payload != b"HANGUP":  # that of Asterisk
                json.loads(payload)
            elif first == 0x88 and payload:
                code = int.from_bytes(payload[:2])
                findings.closed_with[code] = findings.closed_with.get(code, 0) + 1


async def fuzz(
    frames: int,
    seed: int,
    target: Target = TARGETS["native"],
    progress: Callable[[Findings], None] = lambda _: None,
) -> Findings:
    """Send at least so many frames over as many connections as that takes, beside a client that means well.

    Raises:
        TimeoutError: a connection, or a session, did not end.
    """
    findings = Findings()
    pool = MemoryPool(automatic=True, sessions=1_000)
    context = Fakes(pool=pool).context(Limits(ws_frame_max_bytes=20_000, resume_secs=1))
    with watching(findings):
        async with target.serve(context, QUICK) as running:
            async for begun in _seeds(frames, seed, findings):
                attacks = (
                    attack(running, target, random.Random(each), findings)
                    if target.path
                    else stream_fuzzer.attack(running, target is TARGETS["wyoming"], random.Random(each), findings)
                    for each in begun
                )
                heard, *_ = await asyncio.gather(target.speak(running.port), *attacks)
                if heard != HEARD:
                    findings.faults.append(f"a client that means well heard {heard!r}")
                progress(findings)
            state = running.server.server_state
            await wait_until(lambda: not state.tasks and not state.connections, timeout=20)
    return findings


async def _seeds(frames: int, seed: int, findings: Findings) -> AsyncIterator[list[str]]:
    batch = 0
    while findings.frames < frames:
        yield [f"{seed}/{batch}/{index}" for index in range(AT_ONCE)]
        batch += 1


def main() -> None:
    frames = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    target = TARGETS[sys.argv[3] if len(sys.argv) > 3 else "native"]
    began = time.monotonic()
    shown = [0]

    def progress(findings: Findings) -> None:
        if findings.frames >= shown[0] + 50_000:
            shown[0] = findings.frames
            print(findings.frames, len(findings.faults), file=sys.stderr)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        findings = runner.run(fuzz(frames, seed, target, progress))
    seconds = round(time.monotonic() - began, 1)
    print(
        json.dumps(
            {
                "frames": findings.frames,
                "connections": findings.connections,
                "seconds": seconds,
                "faults": len(findings.faults),
                "closed_with": findings.closed_with,
                "told": findings.told,
            }
        )
    )
    for fault in findings.faults[:10]:
        print(fault, file=sys.stderr)


if __name__ == "__main__":
    main()
