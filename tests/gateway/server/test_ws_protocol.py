"""The two ways of a WebSocket message into the application: the order holds, whatever pieces the bytes come in."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from gigastt.gateway.server.deadlines import ConnectionConfig, Deadlines
from gigastt.gateway.server.ws_frames import MOST_QUEUED_MESSAGES
from gigastt.gateway.server.ws_protocol import INPUT_ENDED, TAKER, WebSocketConnection
from tests.properties import tries
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class MemoryTransport(asyncio.Transport):
    """Takes what is written, and never is full."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def write_eof(self) -> None:
        pass

    def close(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def abort(self) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


class Application:
    """Notes messages in the order in which they reach it, and answers those that take the short way with their size."""

    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.taken = 0
        self.closed_with: int | None = None
        self._listening = False

    def take(self, data: bytes) -> list[str] | None:
        if not self._listening:
            return None
        self.messages.append(data)
        self.taken += 1
        return [str(len(data))]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"][TAKER](self.take)
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            self._listening = True
            message = await receive()
            self._listening = False
            if message["type"] == "websocket.disconnect" or INPUT_ENDED in message:
                self.closed_with = message["code"]
                return
            self.messages.append(message["text"] if message.get("text") is not None else message["bytes"])


async def connect(application: Application, most_bytes: int = 70_000) -> WebSocketConnection:
    config = ConnectionConfig(application, Deadlines(), ws_max_size=most_bytes, lifespan="off", log_config=None)
    config.load()
    connection = WebSocketConnection(config, ServerState(), {})
    connection.connection_made(MemoryTransport())
    connection.data_received(UPGRADE)
    await settle()
    return connection


async def settle() -> None:
    """Let the application take all that is there."""
    for _ in range(50):
        await asyncio.sleep(0)


def frame(data: str | bytes, *, opcode: Opcode = Opcode.BINARY, fin: bool = True) -> bytes:
    if isinstance(data, str):
        return frame(data.encode(), opcode=Opcode.TEXT, fin=fin)
    return Frame(opcode, data, fin).serialize(mask=True)


def fragments(data: bytes) -> bytes:
    half = len(data) // 2
    return frame(data[:half], fin=False) + frame(data[half:], opcode=Opcode.CONT)


def look_alike(size: int) -> bytes:
    return b"\x82\xfe" + size.to_bytes(2) + bytes(4 + size)


audio = st.integers(0, 70_000).map(lambda size: bytes(size % 251 for _ in range(size)))
sent = st.one_of(
    audio.map(lambda data: (data, frame(data))),
    audio.map(lambda data: (data, fragments(data))),
    # a payload that looks like a frame, to whoever loses his place
    st.integers(1, 500).map(lambda size: (look_alike(size), frame(look_alike(size)))),
    st.text(max_size=20).map(lambda text: (text, frame(text))),
    st.just((None, frame(b"ping", opcode=Opcode.PING))),
)


@tries(150)
@given(parts=st.lists(sent, max_size=8), data=st.data())
def test_messages_keep_their_order_whatever_pieces_they_come_in(
    parts: list[tuple[str | bytes | None, bytes]], data: st.DataObject
) -> None:
    async def play() -> None:
        application = Application()
        connection = await connect(application)
        stream = b"".join(part for _, part in parts)
        edges, at = set(), 0
        for _, part in parts:
            at += len(part)
            if data.draw(st.booleans(), label="cut at the edge"):
                edges.add(at)
        edges |= set(data.draw(st.lists(st.integers(0, len(stream)), max_size=6), label="cuts"))
        begin = 0
        for end in [*sorted(edges), len(stream)]:
            connection.data_received(stream[begin:end])
            begin = end
            if data.draw(st.booleans(), label="the application runs"):
                await settle()
        await settle()
        assert application.messages == [message for message, _ in parts if message is not None]
        assert isinstance(connection.transport, MemoryTransport)
        answers = [written for written in connection.transport.written if written[0] == 0x81]
        assert len(answers) == application.taken
        connection.connection_lost(None)
        await settle()

    asyncio.run(play())


async def test_whole_frames_take_the_short_way_once_a_frame_has_come() -> None:
    application = Application()
    connection = await connect(application)
    for _ in range(3):
        connection.data_received(frame(bytes(3200)))
        await settle()
    assert application.messages == [bytes(3200)] * 3
    assert application.taken == 2


async def test_a_payload_that_looks_like_a_frame_is_none() -> None:
    application = Application()
    connection = await connect(application)
    connection.data_received(frame("first"))
    await settle()
    outer = b"\x82\xfe" + len(look_alike(200)).to_bytes(2) + bytes(4)  # its mask changes nothing
    connection.data_received(outer)
    await settle()
    connection.data_received(look_alike(200))
    await settle()
    assert application.messages == ["first", look_alike(200)]


async def test_a_frame_amid_the_fragments_of_another_is_a_violation_as_ever() -> None:
    application = Application()
    connection = await connect(application)
    connection.data_received(frame("first"))
    connection.data_received(frame(b"", fin=False))
    await settle()
    connection.data_received(frame(bytes(3200)))
    await settle()
    assert application.messages == ["first"]
    assert application.closed_with == 1002


@pytest.mark.parametrize(("size", "closed_with"), [(1000, None), (1001, 1009)])
async def test_the_limit_holds_on_the_short_way(size: int, closed_with: int | None) -> None:
    application = Application()
    connection = await connect(application, most_bytes=1000)
    connection.data_received(frame("first"))
    await settle()
    connection.data_received(frame(bytes(size)))
    await settle()
    assert application.taken == (closed_with is None)
    assert application.closed_with == closed_with


async def test_a_read_full_of_frames_is_not_taken_in_one_go() -> None:
    application = Application()
    connection = await connect(application)
    connection.data_received(frame(b"x") * 1_500)
    seen = len(application.messages)
    while seen < 1_500:
        await asyncio.sleep(0)
        assert len(application.messages) - seen <= 2 * MOST_QUEUED_MESSAGES
        seen = len(application.messages)


async def test_a_read_full_of_pings_is_not_answered_in_one_go() -> None:
    connection = await connect(Application())
    written = cast(MemoryTransport, connection.transport).written
    before = len(written)
    connection.data_received(frame(b"", opcode=Opcode.PING) * 1_900)
    assert len(written) - before < 1_000  # at once only as many as fit a turn, which is half a millisecond
    await wait_until(lambda: len(written) - before == 1_900)


async def test_frames_beyond_their_rate_wait_and_reading_stops() -> None:
    application = Application()
    connection = await connect(application)
    for _ in range(3):
        connection.data_received(frame(b"x") * 1_000)
    await wait_until(lambda: len(application.messages) > 2_000)
    assert len(application.messages) < 3_000
    await wait_until(lambda: len(application.messages) == 3_000)
