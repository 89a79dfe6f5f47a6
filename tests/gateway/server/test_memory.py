"""What a connection without work holds in the gateway: its Python objects, without the buffers of the system."""

from __future__ import annotations

import asyncio
import gc
import socket
import tracemalloc

import pytest

from gigastt.gateway.app import NATIVE
from tests.fakes.gateway import serving
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.native import memory_context

pytestmark = pytest.mark.slow

_COUNT = 100
_SESSION = (
    b"GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_UPLOAD = b"POST /v1/transcribe HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n"


@pytest.mark.parametrize(
    ("request_head", "answer", "most_bytes"), [(_SESSION, b"ready", 34_000), (_UPLOAD, b"100 Continue", 24_000)]
)
async def test_idle_sessions_and_uploads_without_a_body_hold_little(
    request_head: bytes, answer: bytes, most_bytes: int
) -> None:
    async with serving(memory_context(MemoryPool(sessions=2 * _COUNT)), native=NATIVE) as running:
        clients: list[socket.socket] = []

        async def open_many() -> None:
            for _ in range(_COUNT):
                clients.append(socket.socket())
                clients[-1].setblocking(False)
                await loop.sock_connect(clients[-1], ("127.0.0.1", running.port))
                await loop.sock_sendall(clients[-1], request_head)
                told = b""
                while answer not in told:
                    told += await loop.sock_recv(clients[-1], 4096)

        loop = asyncio.get_running_loop()
        await open_many()  # so that what is made once is there
        tracemalloc.start()
        try:
            before = _held()
            await open_many()
            held = _held() - before
        finally:
            tracemalloc.stop()
        for client in clients:
            client.close()
    assert held / _COUNT < most_bytes


def _held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
