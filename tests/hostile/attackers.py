"""Attackers for tests: the attacks of `benchmarks.hostile` as processes beside a server, and floods in one piece."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.hostile.attacks import command
from benchmarks.hostile.peer import PING, PONG, frame

HEAD_SECONDS = 10.0
_STARTS_SECONDS = 30.0


class Attacker:
    """A process that attacks for so many seconds, from addresses that no other client of the test has."""

    def __init__(self, name: str, port: int, seconds: float, addresses: int) -> None:
        self._seconds = seconds
        self._process = subprocess.Popen(command(name, port, seconds, addresses=addresses), stdout=subprocess.PIPE)

    def seen(self) -> dict[str, int]:
        """Wait for its end, and return what it saw."""
        output, _ = self._process.communicate(timeout=self._seconds + _STARTS_SECONDS)
        notes: dict[str, Any] = json.loads(output)
        return dict(notes["seen"])

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def attacking(name: str, port: int, seconds: float, addresses: int = 1) -> Iterator[Attacker]:
    """Attack a server; the attacker ends with the block at the latest."""
    attacker = Attacker(name, port, seconds, addresses)
    try:
        yield attacker
    finally:
        attacker.end()


class LoopWatch:
    """The processor time of the longest pass of this thread's event loop: what one callback takes from everybody.

    Not the clock's time: a busy machine does not make it longer.
    """

    def __init__(self) -> None:
        self.longest_seconds = 0.0
        self._loop = asyncio.get_running_loop()
        self._before = 0.0
        self._running = False

    def __enter__(self) -> LoopWatch:
        self._running = True
        self._before = time.thread_time()
        self._loop.call_soon(self._tick)
        return self

    def __exit__(self, *exc: object) -> None:
        self._running = False

    def _tick(self) -> None:
        now = time.thread_time()
        self.longest_seconds = max(self.longest_seconds, now - self._before)
        self._before = now
        if self._running:
            self._loop.call_soon(self._tick)


def flood_websocket(port: int, handshake: bytes, flood: bytes, seconds: float) -> None:
    """Open a WebSocket, send everything at once, and wait until it was taken, refused, or the time is over."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as sock:
        sock.sendall(handshake)
        received = b""
        while b"\r\n\r\n" not in received:
            received += sock.recv(4096)
        _flood(sock, flood + frame(PING, b"the end"), bytes([PONG, 7]) + b"the end", seconds)


def flood_http(port: int, flood: bytes, end: bytes, seconds: float) -> None:
    """Send everything at once, and wait for the last answer, a refusal, or the end of the time."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as sock:
        _flood(sock, flood, end, seconds)


def _flood(sock: socket.socket, data: bytes, end: bytes, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    sock.setblocking(False)
    unsent, tail = memoryview(data), b""
    while time.monotonic() < deadline:
        try:
            if unsent:
                unsent = unsent[sock.send(unsent[:65_536]) :]
        except BlockingIOError:
            pass
        except OSError:
            return
        try:
            piece = sock.recv(1 << 20)
        except BlockingIOError:
            time.sleep(0.001)
            continue
        except OSError:
            return
        if not piece or end in tail + piece:
            return
        tail = (tail + piece)[-len(end) :]
