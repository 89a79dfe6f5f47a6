"""A fuzzer of byte streams, those of Wyoming and of AudioSocket: hostile clients of a real listener, drawn from a seed.

python -m tests.hostile.frame_fuzzer 20000 [SEED [wyoming|audiosocket]]
"""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

from tests.fakes.gateway import Running
from tests.hostile.findings import Findings

MOST_EVENTS = 30  # of one connection
_KINDS = ("describe", "ping", "transcribe", "audio-start", "audio-stop", "synthesize", "", "audio-chunk\n")
_VALUES: tuple[Any, ...] = (None, 0, -1, 1, 2, 3, 4, 8_000, 16_000, 48_000, 1e400, "2", [], {}, True, 2**63)
_GARBAGE = (
    b"\n",
    b"{}\n",
    b"[" * 3_000 + b"\n",
    b"\xff\xfe\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b'{"type":"ping"',
    b"\0" * 70_000,
)


def draw_event(rng: random.Random, *, valid: bool) -> bytes:
    """Draw an event; a valid one keeps the rules of framing, though not of order."""
    if not valid and rng.random() < 0.3:
        return rng.choice(_GARBAGE)
    payload = b""
    kind = "audio-chunk" if rng.random() < 0.6 else rng.choice(_KINDS)
    fields: dict[str, Any] = {"rate": 16_000, "width": 2, "channels": 1, "language": "ru", "text": "\ud800"}
    if kind == "audio-chunk":
        payload = rng.randbytes(rng.choice((0, 0, 1, 31, 640, 3_200, 9_600)))
    if rng.random() < 0.1:
        fields[rng.choice(tuple(fields))] = rng.choice(_VALUES)
    data = json.dumps(fields).encode()
    header: dict[str, Any] = {"type": kind, "data_length": len(data), "payload_length": len(payload)}
    if not valid and rng.random() < 0.3:
        header[rng.choice(tuple(header))] = rng.choice(_VALUES)
    return json.dumps(header).encode() + b"\n" + data + payload


def draw_packet(rng: random.Random, *, valid: bool) -> bytes:
    """Draw a packet of AudioSocket; a valid one keeps the rules of framing, though not of order."""
    kind = rng.choice((0x10, 0x10, 0x10, 0x10, 0x12, 0x18, 0x03, 0x03, 0x01, 0x00, 0xFF, 0x02))
    length = len(payload := rng.randbytes(rng.choice((0, 0, 1, 2, 16, 320, 320, 3_200))))
    if not valid and rng.random() < 0.3:
        kind = rng.randrange(256)
        length = rng.choice((length + 1, 0, 2**16 - 1))
    return bytes([kind]) + length.to_bytes(2) + payload


async def attack(running: Running, is_wyoming: bool, rng: random.Random, findings: Findings) -> None:
    """Be one hostile client, and see the connection end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    findings.connections += 1
    count = rng.randint(1, MOST_EVENTS)
    findings.frames += count
    valid = rng.random() < 0.5
    draw = draw_event if is_wyoming else draw_packet
    stream = b"".join(draw(rng, valid=valid or rng.random() < 0.9) for _ in range(count))
    if not is_wyoming and rng.random() < 0.9:
        stream = b"\1\0\x10" + rng.randbytes(16) + stream
    try:
        while stream and not writer.transport.is_closing():
            cut = len(stream) if rng.random() < 0.5 else rng.randint(1, len(stream))
            writer.write(stream[:cut])
            stream = stream[cut:]
            if rng.random() < 0.3:
                await asyncio.sleep(0)
        if rng.random() < 0.5:
            writer.write_eof()
            async with asyncio.timeout(20):
                if is_wyoming:
                    await _read_to_end(reader, findings)
                else:
                    findings.told["hang-up"] = findings.told.get("hang-up", 0) + len(await reader.read()) // 3
    except TimeoutError:
        findings.faults.append("a connection did not end")
    except (OSError, RuntimeError, asyncio.IncompleteReadError):  # the server has hung up already
        pass
    finally:
        writer.transport.abort()


async def _read_to_end(reader: asyncio.StreamReader, findings: Findings) -> None:
    """Read events until the server hangs up; count how many there were of each kind."""
    while line := await reader.readline():
        header = json.loads(line)
        json.loads(await reader.readexactly(header["data_length"]))
        findings.told[header["type"]] = findings.told.get(header["type"], 0) + 1
