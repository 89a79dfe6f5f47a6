"""Clients that say that they will send no more (`nc -N`, socat) get their answers; those that have gone are noticed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest

from gigastt.gateway.pool.events import Event
from gigastt.gateway.server.deadlines import Deadlines
from tests.fakes.gateway import serving
from tests.fakes.pool import Fakes, FakeTranscriber, final
from tests.hostile.proxies import find
from tests.hostile.raw_http import converse, on_uvloop
from tests.waiting import wait_until

ROUTES = ("/v1/transcribe", "/v1/transcribe/stream")
QUICK = Deadlines(probe=0.1)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def upload(path: str, version: str = "1.1", body: bytes = b"abcd", length: int = 4) -> bytes:
    return f"POST {path} HTTP/{version}\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode() + body


class Slow:
    """A transcription that takes until it is told to end."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.fakes = Fakes(transcriber=FakeTranscriber(self._events))

    async def _events(self) -> AsyncGenerator[Event, None]:
        await self.go_on.wait()
        yield final("Привет, мир.", reason="stop")


@pytest.mark.parametrize("path", ROUTES)
@on_uvloop
async def test_a_half_closed_client_gets_its_answer(path: str) -> None:
    async with serving(Fakes().context()) as running:
        [answer] = await converse(running.port, [upload(path)])
        assert answer.status == 200
        assert "Привет, мир." in answer.body.decode()
        if path.endswith("stream"):
            assert b'"last":true' in answer.body
        assert len(await converse(running.port, [upload(path) * 3])) == 3
        await wait_until(lambda: not running.server.server_state.connections)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@on_uvloop
async def test_it_waits_for_a_long_one_too(path: str, version: str) -> None:
    slow = Slow()
    async with serving(slow.fakes.context(), deadlines=QUICK) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(upload(path, version))
        writer.write_eof()
        await wait_until(lambda: slow.fakes.transcriber.request_ids)
        if version == "1.1" and path == "/v1/transcribe":
            assert await reader.readexactly(len(CONTINUE)) == CONTINUE  # a client that had gone would be noticed by it
        await asyncio.wait({asyncio.create_task(slow.go_on.wait())}, timeout=5 * QUICK.probe)
        slow.go_on.set()
        received = await asyncio.wait_for(reader.read(), 10)
        assert received.count(b"HTTP/1.1 ") == 1
        assert "Привет, мир." in received.decode()
        writer.close()


@pytest.mark.parametrize("path", ROUTES)
@on_uvloop
async def test_one_that_has_gone_is_noticed_though_it_looks_the_same(path: str) -> None:
    slow = Slow()
    async with serving(slow.fakes.context(), deadlines=QUICK) as running:
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(upload(path))
        await wait_until(lambda: slow.fakes.transcriber.request_ids)
        writer.close()
        await wait_until(lambda: not running.server.server_state.tasks)
        assert slow.fakes.pool.places.active == 0


@on_uvloop
async def test_a_body_that_ends_too_early_is_refused() -> None:
    async with serving(Fakes().context()) as running:
        for part in (upload("/v1/transcribe", length=400), upload("/v1/transcribe", body=b""), upload("/")[:20]):
            [answer] = await converse(running.port, [part])
            assert (answer.status, json.loads(answer.body)["code"]) == (400, "bad_request")
        assert await converse(running.port, []) == []


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("arguments", [("nc", "-N", "127.0.0.1"), ("socat", "-t", "20", "-")], ids=["nc", "socat"])
@on_uvloop
async def test_the_programs_people_have(arguments: tuple[str, ...], path: str) -> None:
    program = find(arguments[0])
    async with serving(Fakes().context()) as running:
        address = str(running.port) if arguments[0] == "nc" else f"TCP:127.0.0.1:{running.port}"
        process = await asyncio.create_subprocess_exec(
            program, *arguments[1:], address, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await asyncio.wait_for(process.communicate(upload(path)), 20)
        assert output.startswith(b"HTTP/1.1 200 OK\r\n")
        assert "Привет, мир." in output.decode()
