"""A client of a real server that writes bytes as it likes, and reads answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.fakes.gateway import Running
from tests.waiting import DEADLINE_SECONDS


class RawClient:
    """One TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def write(self, text: str | bytes) -> None:
        self.writer.write(text.encode("latin-1") if isinstance(text, str) else text)

    async def answer(self, timeout: float = DEADLINE_SECONDS) -> tuple[int, dict[str, str], bytes]:
        """Read one answer with a Content-Length: status, headers in lower case, body."""
        async with asyncio.timeout(timeout):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            return int(status.split()[1]), headers, await self.reader.readexactly(int(headers["content-length"]))

    async def answer_in_json(self) -> tuple[int, dict[str, str], dict[str, object]]:
        """Read one answer whose body is JSON."""
        status, headers, body = await self.answer()
        return status, headers, json.loads(body)

    async def ask(self, request: bytes) -> tuple[int, dict[str, str], dict[str, object]]:
        """Send a request and read its answer in JSON."""
        self.write(request)
        return await self.answer_in_json()

    async def closed(self, timeout: float = DEADLINE_SECONDS) -> bool:
        """Wait until the server has hung up."""
        async with asyncio.timeout(timeout):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionError:
                pass
            return True

    async def closed_silently(self, timeout: float = DEADLINE_SECONDS) -> bool:
        """Wait until the server has hung up; tell whether it did so without a word."""
        async with asyncio.timeout(timeout):
            try:
                return not await self.reader.read()
            except ConnectionError:
                return True


@asynccontextmanager
async def connect_raw(running: Running) -> AsyncIterator[RawClient]:
    """Connect to a running server; the connection is closed at the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.close()
