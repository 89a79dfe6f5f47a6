"""Raw WebSocket: every message comes back whole, and every connection ends as RFC 6455 has it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest
from starlette.types import Receive, Scope, Send

from gigastt.gateway.server.deadlines import Deadlines
from gigastt.gateway.server.listener import Server, bind
from tests.hostile.frame_fuzzer import UPGRADE
from tests.hostile.raw_http import on_uvloop
from tests.hostile.raw_websocket_cases import BINARY, CASES, CLOSE, LONGEST, PONG, TEXT, Case, frame
from tests.waiting import wait_until

AT_ONCE = 16
CUTS: dict[str, Callable[[bytes], list[bytes]]] = {
    "at once": lambda raw: [raw],
    "a byte a time": lambda raw: in_pieces(raw, 1 if len(raw) < 2_000 else 997),
    "in pieces of 7": lambda raw: in_pieces(raw, 7 if len(raw) < 10_000 else 8_191),
}


def in_pieces(raw: bytes, size: int) -> list[bytes]:
    return [raw[at : at + size] for at in range(0, len(raw), size)]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Send every message back."""
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


class Conversation:
    """What came back on one connection."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.messages: list[str | bytes] = []
        self.pongs: list[bytes] = []
        self.close: int | None = None
        self.hung_up = False

    async def hold(self, port: int, pieces: list[bytes]) -> None:
        """Send the pieces, read what comes, and close if the server has no reason to."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(UPGRADE)
            await reader.readuntil(b"\r\n\r\n")
            reading = asyncio.ensure_future(self._read(reader))
            with contextlib.suppress(OSError):  # it may have hung up
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    if len(pieces) < 50:
                        await asyncio.sleep(0)
                if self.case.close == 1000:
                    await wait_until(lambda: self.is_complete or reading.done(), timeout=20)
                    writer.write(frame(CLOSE, b"\x03\xe8"))
            await asyncio.wait_for(reading, 20)
        finally:
            writer.close()

    @property
    def is_complete(self) -> bool:
        return len(self.messages) >= len(self.case.messages) and len(self.pongs) >= len(self.case.pongs)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                first, length = await reader.readexactly(2)
                if length == 126:
                    length = int.from_bytes(await reader.readexactly(2))
                elif length == 127:
                    length = int.from_bytes(await reader.readexactly(8))
                self._take(first, await reader.readexactly(length))
        self.hung_up = True

    def _take(self, first: int, payload: bytes) -> None:
        assert first & 0xF0 == 0x80, "the server sends whole frames, and no reserved bits"
        match first & 0x0F:
            case 1:
                self.messages.append(payload.decode())
            case 2:
                self.messages.append(payload)
            case 10:
                self.pongs.append(payload)
            case 8 if self.close is None:
                self.close = int.from_bytes(payload[:2])
            case other:
                raise AssertionError(f"opcode {other} came behind the close, or is unknown")

    @property
    def wrong(self) -> str | None:
        """How this differs from the case, or None."""
        case = self.case
        found = (self.messages, self.pongs, self.close, self.hung_up)
        if found == (list(case.messages), list(case.pongs), case.close, True):
            return None
        return (
            f"{case.name}: {len(self.messages)} messages {str(self.messages)[:80]}, {len(self.pongs)} pongs, "
            f"close {self.close}, hung up {self.hung_up}; expected {len(case.messages)}, {len(case.pongs)}, "
            f"{case.close}"
        )


def test_there_are_enough_cases_and_each_has_its_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 300
    assert {case.family for case in CASES} == {"1", "2", "3", "4", "5", "6", "7", "9", "10"}
    assert {TEXT, BINARY, PONG} == {1, 2, 10}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("family", ["1", "2", "3", "4", "5", "6", "7", "9", "10"])
@on_uvloop
async def test_every_conversation_goes_by_the_rules(family: str, cut: str) -> None:
    [listener] = bind("127.0.0.1", 0)
    server = Server(
        echo, max_frame_bytes=LONGEST, handle_signals=False, deadlines=Deadlines(linger=1.0, ping=60.0, busy_ping=60.0)
    )
    serving = asyncio.create_task(server.serve([listener]))
    await wait_until(lambda: server.started)
    at_once = asyncio.Semaphore(AT_ONCE)

    async def hold(case: Case) -> str | None:
        async with at_once:
            conversation = Conversation(case)
            await conversation.hold(server.port, CUTS[cut](case.sent))
            return conversation.wrong

    try:
        wrong = await asyncio.gather(*(hold(case) for case in CASES if case.family == family))
    finally:
        server.stop(force=True)
        await asyncio.wait_for(serving, 20)
    assert not any(wrong), "\n".join(filter(None, wrong))
