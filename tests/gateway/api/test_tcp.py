"""TCP as a transport: conversations over real sockets, in lines of text and lines of hexadecimal audio."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar

import pytest

from gigastt.config import Limits
from gigastt.gateway.access.addresses import parse_networks
from gigastt.gateway.api.dialect import (
    Configuration,
    Dialect,
    EndUtterance,
    Message,
    Moment,
    Reply,
    Request,
    Speech,
    Stop,
)
from gigastt.gateway.api.shell import converse
from gigastt.gateway.api.tcp import BrokenStream, TcpConnection, listen_for
from gigastt.gateway.context import AppContext
from gigastt.gateway.requests import Exchange
from gigastt.gateway.server.deadlines import Deadlines
from gigastt.transcript import Final, Gap, Partial
from tests.fakes.gateway import Running, serving
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.native import memory_context
from tests.fakes.scripted import speech
from tests.raw_client import RawClient, connect_raw
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


class Lines:
    """A message a line: audio in hexadecimal digits behind `#`."""

    def __init__(self) -> None:
        self._head = b""

    def cut(self, data: bytes) -> Iterator[Message]:
        *lines, self._head = (self._head + data).split(b"\n")
        for line in lines:
            if line.startswith(b"!"):
                raise BrokenStream("An exclamation.")
            yield bytes.fromhex(line[1:].decode()) if line.startswith(b"#") else line.decode()

    def frame(self, message: Message) -> bytes:
        return message.encode() + b"\n" if isinstance(message, str) else message


class Plain(Dialect):
    name: ClassVar[str] = "plain"
    frames_are_audio: ClassVar[bool] = True
    configuration = Configuration(sample_rate=16_000)

    def hear(self, message: Message, configuration: Configuration | None) -> Sequence[Request]:
        match message:
            case bytes():
                return [Speech(message)]
            case "stop":
                return [Stop()]
            case "flush":
                return [EndUtterance()]
        return [Reply([f"heard {message}"])]

    def tell(self, event: Partial | Final | Gap, moment: Moment) -> Sequence[Message]:
        return [f"final {event.text}"] if isinstance(event, Final) else ()

    def fail(self, code: str, message: str, retry_after_ms: int | None) -> Sequence[Message]:
        return [f"error {code}"]


async def talk(connection: TcpConnection, context: AppContext, exchange: Exchange) -> None:
    await converse(connection, Plain(), context, exchange)


@asynccontextmanager
async def lines(
    pool: MemoryPool | None = None, limits: Limits | None = None, allowed: tuple[str, ...] = ("127.0.0.0/8",)
) -> AsyncIterator[Running]:
    context = memory_context(pool or MemoryPool(automatic=True), limits)
    factory = listen_for("plain", talk, Lines, context, parse_networks(allowed))
    async with serving(context, tcp=factory, deadlines=Deadlines(linger=0.2)) as running:
        yield running


def sound(*values: int) -> str:
    return "#" + speech(values).tobytes().hex() + "\n"


async def read(client: RawClient) -> list[str]:
    async with asyncio.timeout(60):
        return (await client.reader.read()).decode().splitlines()


@pytest.mark.parametrize("size", [997, 4096, 1_000_000])
async def test_a_conversation_is_the_same_however_its_bytes_are_cut(size: int) -> None:
    told = (sound(1, 2) + "hello\n" + sound(3) + "stop\n").encode()
    async with lines() as running, connect_raw(running) as client:
        for begin in range(0, len(told), size):
            client.write(told[begin : begin + size])
            await client.writer.drain()
        assert await read(client) == ["heard hello", "final w1 w2 w3"]


async def test_a_client_that_shuts_its_side_down_hears_the_rest() -> None:
    async with lines() as running, connect_raw(running) as client:
        client.write(sound(1))
        client.writer.write_eof()
        assert await read(client) == ["final w1"]


async def test_a_stream_that_breaks_tells_the_words_before() -> None:
    async with lines() as running, connect_raw(running) as client:
        client.write(sound(1) + "!\n" + sound(2))
        assert await read(client) == ["final w1"]


async def test_an_utterance_that_is_ended_is_told_and_more_may_come() -> None:
    async with lines() as running, connect_raw(running) as client:
        client.write(sound(1) + "flush\n")
        assert await client.reader.readline() == b"final w1\n"
        client.write(sound(2) + "stop\n")
        assert await read(client) == ["final w2"]


async def test_a_server_that_stops_tells_the_words_so_far() -> None:
    async with lines() as running, connect_raw(running) as client:
        client.write(sound(1) + "hello\n")
        assert await client.reader.readline() == b"heard hello\n"
        running.server.handle_exit(signal.SIGTERM, None)
        assert await read(client) == ["final w1"]


async def test_another_network_is_hung_up_on() -> None:
    async with lines(allowed=("10.0.0.0/8",)) as running, connect_raw(running) as client:
        client.write("hello\n")
        assert await client.closed_silently()


async def test_connections_of_an_address_are_limited() -> None:
    limits = Limits(max_connections_per_address=1)
    async with lines(limits=limits) as running, connect_raw(running) as first:
        first.write("hello\n")
        assert await first.reader.readline() == b"heard hello\n"
        async with connect_raw(running) as second:
            assert await second.closed_silently()
        first.write("stop\n")
        assert await read(first) == ["final "]


async def test_connections_count_against_the_rate_of_their_address() -> None:
    limits = Limits(rate_limit_per_minute=1, rate_limit_burst=1)
    async with lines(limits=limits) as running:
        async with connect_raw(running) as first:
            first.write("stop\n")
            assert await read(first) == ["final "]
        async with connect_raw(running) as second:
            assert await second.closed_silently()


async def test_a_client_that_hangs_up_leaves_nothing_behind() -> None:
    pool = MemoryPool(automatic=True)
    async with lines(pool) as running:
        async with connect_raw(running) as client:
            client.write(sound(1) + "hello\n")
            assert await client.reader.readline() == b"heard hello\n"
            client.writer.transport.abort()
        await wait_until(lambda: not running.server.server_state.tasks and not running.server.server_state.connections)
