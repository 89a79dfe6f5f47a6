"""What the raw cases run against: an application that notes what reaches it, and a client that reads every answer."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ParamSpec

import uvloop
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gigastt.gateway.server.deadlines import Deadlines
from gigastt.gateway.server.listener import Server, bind
from tests.hostile.findings import REFUSALS
from tests.waiting import wait_until

Arguments = ParamSpec("Arguments")

MARK = "x-proxied"  # a header that a proxy sets on all it passes on, to a number of its own


def on_uvloop(test: Callable[Arguments, Coroutine[Any, Any, None]]) -> Callable[Arguments, None]:
    """Run a test on the event loop that the server runs on."""

    @functools.wraps(test)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(test(*args, **kwargs))

    return run


@dataclass
class Notebook:
    """An application that notes each request and answers with its path; WebSockets are accepted and closed."""

    served: list[str] = field(default_factory=list)
    marks: list[list[str]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        self.marks.append(headers.getlist(MARK))
        if scope["type"] == "websocket":
            self.served.append(f"WEBSOCKET {scope['path']}")
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close"})
            return
        early = scope["path"] == "/early"
        size = 0 if early else await read(receive)
        self.served.append(f"{scope['method']} {scope['path']} {'gone' if size is None else size}")
        path = scope["path"].encode()
        length = (b"content-length", str(len(path)).encode())
        await send({"type": "http.response.start", "status": 413 if early else 200, "headers": [length]})
        await send({"type": "http.response.body", "body": path})


async def read(receive: Receive) -> int | None:
    """Read a body; return its length, None if the client has gone."""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        size += len(message.get("body", b""))
        if not message.get("more_body", False):
            return size


@dataclass
class Bench:
    """A server with a notebook, and everything that went wrong inside it."""

    notebook: Notebook
    server: Server
    port: int
    faults: list[Any]


@asynccontextmanager
async def noting(deadlines: Deadlines | None = None, app: ASGIApp | None = None) -> AsyncIterator[Bench]:
    """Serve a notebook, or another application, on a free port; nothing may go wrong inside meanwhile."""
    notebook, faults = Notebook(), Faults()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: faults.seen.append(context))
    logging.getLogger().addHandler(faults)
    [listener] = bind("127.0.0.1", 0)
    server = Server(app or notebook, max_frame_bytes=1000, handle_signals=False, deadlines=deadlines or Deadlines())
    task = asyncio.create_task(server.serve([listener]))
    await wait_until(lambda: server.started)
    try:
        yield Bench(notebook, server, server.port, faults.seen)
    finally:
        server.stop(force=True)
        await asyncio.wait_for(task, 10)
        logging.getLogger().removeHandler(faults)
        loop.set_exception_handler(None)
    assert faults.seen == []


class Faults(logging.Handler):
    """Keep what is logged as a warning or worse, except that a client was refused."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.seen: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() not in REFUSALS:
            self.seen.append((record.getMessage(), record.exc_info))


@dataclass(frozen=True)
class Answer:
    """One final answer."""

    status: int
    headers: dict[str, str]
    body: bytes


async def converse(port: int, pieces: list[bytes], timeout: float = 10.0, *, half_close: bool = True) -> list[Answer]:
    """Send pieces one after the other, and say that there are no more; return every answer until the server hangs up.

    Args:
        half_close: say so; proxies take it for hanging up, and are left to their own time.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with contextlib.suppress(OSError):  # it may have hung up
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if half_close:
                writer.write_eof()
        received = b""
        async with asyncio.timeout(timeout):
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(65536):
                    received += data
        return parse_answers(received, whole=half_close)
    finally:
        writer.close()


def parse_answers(received: bytes, *, whole: bool) -> list[Answer]:
    """Cut what was received into answers; interim ones are left out.

    Args:
        whole: the last one must be. (HAProxy 2.6 cuts some off whose request had `Expect`, with any server behind.)
    """
    answers: list[Answer] = []
    while received:
        if not received.startswith(b"HTTP/1."):
            return [*answers, Answer(0, {}, received)]  # of HTTP/0.9, or rubbish
        head, end, received = received.partition(b"\r\n\r\n")
        assert end or not whole, f"an answer without end: {head!r}"
        line, *lines = head.decode("latin-1").split("\r\n")
        status = line.split(" ")[1]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if int(status) < 200 and int(status) != 101:
            continue
        if headers.get("transfer-encoding") == "chunked":
            body, _, received = received.partition(b"0\r\n\r\n")
        else:
            length = int(headers.get("content-length", len(received)))
            body, received = received[:length], received[length:]
            assert len(body) == length or not whole, f"less than was announced: {line} {headers} {body!r}"
        answers.append(Answer(int(status), headers, body))
    return answers
