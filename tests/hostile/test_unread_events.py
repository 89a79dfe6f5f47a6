"""Server-sent events that nobody reads: little is kept for them, and not for long; a slow reader gets all."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

from gigastt.gateway.api.event_stream import encode_block
from gigastt.gateway.server.deadlines import Deadlines
from gigastt.rendering import final_fields
from tests.fakes.gateway import serving
from tests.fakes.pool import Fakes, FakeTranscriber, final
from tests.waiting import wait_until

RECEIVE_BYTES = 4_096
REQUEST = b"POST /v1/transcribe/stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nabcd"
EVENT = final("слово " * 5)
EVENT_BYTES = len(encode_block({**final_fields(EVENT), "last": False}))


def small_socket(port: int) -> socket.socket:
    """Connect with a receive buffer of a few thousand bytes."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    client.connect(("127.0.0.1", port))
    client.setblocking(False)
    return client


async def test_little_is_kept_for_who_does_not_read_and_it_is_gone_in_time() -> None:
    told = 0

    async def endless() -> AsyncIterator[Any]:
        nonlocal told
        while True:
            told += 1
            yield EVENT
            await asyncio.sleep(0)

    fakes = Fakes(transcriber=FakeTranscriber(endless))  # type: ignore[arg-type]
    async with serving(fakes.context(), deadlines=Deadlines(unread=0.3)) as running:
        with contextlib.closing(small_socket(running.port)) as client:
            client.send(REQUEST)
            await wait_until(lambda: told)
            await wait_until(lambda: not running.server.server_state.tasks)
            assert fakes.transcriber.closed == 1
            assert told * EVENT_BYTES < 256 * 1024 + 4 * RECEIVE_BYTES


async def test_a_long_answer_is_not_cut_while_it_is_read() -> None:
    text = "слово " * 60_000
    fakes = Fakes(transcriber=FakeTranscriber([final(text), final("", 1, "stop", 1.0)]))
    async with serving(fakes.context(), deadlines=Deadlines(unread=0.3)) as running:
        loop = asyncio.get_running_loop()
        with contextlib.closing(small_socket(running.port)) as client:
            await loop.sock_sendall(client, REQUEST.replace(b"Length: 4", b"Length: 4\r\nConnection: close"))
            received = 0
            began = loop.time()
            tail = b""
            while data := await loop.sock_recv(client, 65_536):
                received += len(data)
                tail = (tail + data)[-2_000:]
                # half a million bytes a second: many times what has to be read, and many times longer than `unread`
                ahead = received / 500_000 - (loop.time() - began)
                if ahead > 0:
                    await asyncio.wait({loop.create_future()}, timeout=ahead)
            assert b'"last":true' in tail
            assert loop.time() - began > 0.6
