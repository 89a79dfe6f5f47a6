"""An attacker's tools: connections from a chosen address, raw requests and frames, and a pace.

Runs on the event loop of an attacking process. Everything is bounded: by the target's deadline, and by the pace.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MEBIBYTE = 1024 * 1024
PACE = 950_000  # bytes a second of one attacking connection: under a megabyte
MOST_TOGETHER = 3 * PACE  # and of all of them
TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
_BIND_ADDRESS_NO_PORT = 24  # linux/in.h
_KEY = "AAAAAAAAAAAAAAAAAAAAAA=="


@dataclass(frozen=True, slots=True)
class Target:
    """Who is attacked, from where and for how long.

    Attributes:
        port: of a server on 127.0.0.1.
        seconds: of the attack; it stops by itself.
        sources: addresses of 127.0.0.0/8 to connect from, in turns.
        key: an API key that the attacker has; empty without.
        began: when the attack began, of `time.monotonic()`.
    """

    port: int
    seconds: float
    sources: tuple[str, ...] = ("127.0.0.2",)
    key: str = ""
    began: float = field(default_factory=time.monotonic)

    @property
    def over(self) -> bool:
        return self.left <= 0

    @property
    def left(self) -> float:
        """Seconds until the attack is over."""
        return self.began + self.seconds - time.monotonic()

    @property
    def pace(self) -> float:
        """Bytes a second for each of the connections of an attack that has one from every address."""
        return min(PACE, MOST_TOGETHER / len(self.sources))

    def source(self, number: int) -> str:
        return self.sources[number % len(self.sources)]

    def head(self, start: str, *lines: str) -> bytes:
        """Build a request's head, with the key where there is one."""
        authorization = [f"Authorization: Bearer {self.key}"] if self.key else []
        return "\r\n".join(
            [f"{start} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *authorization, *lines, "", ""]
        ).encode()


@dataclass(slots=True)
class Notes:
    """What an attack saw, how often; and for how many seconds at most a peer was kept that took nothing any more."""

    seen: Counter[str] = field(default_factory=Counter)
    kept_seconds: float | None = None

    def keep(self, seconds: float) -> None:
        self.kept_seconds = max(self.kept_seconds or 0.0, seconds)

    def to_json(self) -> str:
        return json.dumps({"seen": dict(self.seen), "kept_seconds": self.kept_seconds})


class Peer:
    """One TCP connection. What the server does to it ends its calls with `ConnectionError` or an end of file."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def connect(cls, target: Target, number: int = 0, *, receive_buffer: int = 0) -> Peer:
        """Connect from one of the target's sources; with a small receive buffer, not reading is felt soon."""
        sock = socket.socket()
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)  # ten thousand from one address
            sock.bind((target.source(number), 0))
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", target.port))
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    @property
    def port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._socket, data)

    async def receive(self, count: int = 65_536) -> bytes:
        """Return what has come; nothing at the end."""
        return await self._loop.sock_recv(self._socket, count)

    async def drain(self) -> int:
        """Read and forget until the server hangs up; return how many bytes there were."""
        count = 0
        with contextlib.suppress(ConnectionError):
            while piece := await self.receive(262_144):
                count += len(piece)
        return count

    async def answer(self, seconds: float = 10.0) -> bytes:
        """Return what comes until the server hangs up or `seconds` are over."""
        received = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(seconds):
                while piece := await self.receive():
                    received += piece
        return received

    async def status(self, seconds: float = 10.0) -> int:
        """Return the status of the next answer; 0 if none came. What comes behind its first line is lost."""
        received = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(seconds):
                while b"\r\n" not in received and (piece := await self.receive()):
                    received += piece
        return int(received[9:12]) if received[:5] == b"HTTP/" and received[9:12].isdigit() else 0

    def reset(self) -> None:
        """Hang up at once, so that nothing is left of the connection."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


@contextlib.asynccontextmanager
async def connected(target: Target, number: int = 0, *, receive_buffer: int = 0) -> AsyncIterator[Peer]:
    """Connect, and reset the connection at the end."""
    peer = await Peer.connect(target, number, receive_buffer=receive_buffer)
    try:
        yield peer
    finally:
        peer.reset()


@contextlib.asynccontextmanager
async def websocket(target: Target, number: int = 0, *, receive_buffer: int = 0) -> AsyncIterator[Peer]:
    """Open a WebSocket by hand; nothing behind the handshake's answer is read.

    Raises:
        ConnectionError: it was refused.
    """
    async with connected(target, number, receive_buffer=receive_buffer) as peer:
        await peer.send(
            target.head(
                "GET /v1/ws",
                *(
                    "Upgrade: websocket",
                    "Connection: Upgrade",
                    "Sec-WebSocket-Version: 13",
                    f"Sec-WebSocket-Key: {_KEY}",
                ),
            )
        )
        head = b""
        async with asyncio.timeout(30):
            while b"\r\n\r\n" not in head:
                piece = await peer.receive(1)
                if not piece:
                    raise ConnectionError("The server hung up on the handshake.")
                head += piece
        if b" 101 " not in head.partition(b"\r\n")[0]:
            raise ConnectionError("The server refused the handshake.")
        yield peer


def frame(opcode: int, payload: bytes = b"") -> bytes:
    """Build a masked frame; a mask of zeros leaves the payload as it is."""
    size = len(payload)
    if size < 126:
        head = bytes([opcode, 0x80 | size])
    elif size < 65_536:
        head = bytes([opcode, 0xFE]) + size.to_bytes(2)
    else:
        head = bytes([opcode, 0xFF]) + size.to_bytes(8)
    return head + bytes(4) + payload


async def send_paced(peer: Peer, unit: bytes, target: Target, notes: Notes, bytes_per_second: float) -> None:
    """Send one unit again and again, back to back and at a pace, until the attack is over.

    Raises:
        ConnectionError: the server hung up.
    """
    piece = unit * max(1, int(bytes_per_second / 20) // len(unit))
    began, sent = time.monotonic(), 0
    while not target.over:
        await peer.send(piece)
        sent += len(piece)
        notes.seen["bytes"] += len(piece)
        await asyncio.sleep(max(0.0, began + sent / bytes_per_second - time.monotonic()))


async def every(target: Target, seconds: float, attack: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    """Begin one attempt every so many seconds, whether those before are done or not; at the end all are cancelled.

    An attempt that the server or the system refuses is over.
    """
    async with asyncio.TaskGroup() as group:
        tasks: set[asyncio.Task[None]] = set()
        number = 0
        while not target.over:
            task = group.create_task(_unless_refused(attack(number)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
            await asyncio.sleep(max(0.0, target.began + number * seconds - time.monotonic()))
        for task in tasks:
            task.cancel()


async def together(target: Target, count: int, attack: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    """Run so many attempts side by side; what is not done when the attack is over is cancelled."""
    tasks = [asyncio.create_task(_unless_refused(attack(number))) for number in range(count)]
    try:
        await asyncio.wait(tasks, timeout=max(0.01, target.left))
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


async def _unless_refused(attempt: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(OSError):
        await attempt


def undelivered(server_port: int, peer_port: int) -> int | None:
    """Return how many bytes wait on the server's side of a connection; None once its process has let it go.

    The kernel may go on with a connection that nobody owns any more, as long as the peer does not read: then its row
    in `/proc/net/tcp` has no inode.
    """
    ports = f":{server_port:04X}", f":{peer_port:04X}"
    with Path("/proc/net/tcp").open(encoding="ascii") as table:
        for row in table:
            fields = row.split()
            if fields[1].endswith(ports[0]) and fields[2].endswith(ports[1]):
                return int(fields[4].partition(":")[0], 16) if fields[9] != "0" else None
    return None


def many_descriptors() -> int:
    """Take as many descriptors as the system lets this process have; return how many."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard > 0 else 1 << 20


def nice() -> None:
    """Leave the processors to the server: an attacker's own work is not what is measured."""
    os.nice(10)
