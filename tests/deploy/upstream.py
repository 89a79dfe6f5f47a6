"""A stand-in for a server behind a proxy: it says what it was asked, and waits where a test wants to see waiting."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Asked:
    """One request, as it came."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: int = 0  # bytes, so far

    def all(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for header, value in self.headers if header == name]


@dataclass
class Upstream:
    """Answers 200 to `/ready`, `status` to everything else; a stream's second event waits for `go_on`."""

    status: int = 200
    asked: list[Asked] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's one request."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split(" ")
            fields = [line.partition(":") for line in head[1:] if line]
            asked = Asked(method, path, [(name.lower(), value.strip()) for name, _, value in fields])
            if path != "/ready":
                self.asked.append(asked)
            await self._read_body(asked, reader)
            await self._answer(asked, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # a probe, or a proxy that hung up
        finally:
            writer.close()

    async def _read_body(self, asked: Asked, reader: asyncio.StreamReader) -> None:
        if "chunked" in asked.all("transfer-encoding"):
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
                asked.body += size
            await reader.readline()
        for length in asked.all("content-length"):
            while asked.body < int(length):
                asked.body += len(await reader.read(min(65_536, int(length) - asked.body)))

    async def _answer(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        status = 200 if asked.path == "/ready" else self.status
        head = f"HTTP/1.1 {status} Said\r\nconnection: close\r\n"
        if asked.path == "/v1/transcribe/stream" and status == 200:
            writer.write(f"{head}content-type: text/event-stream\r\n\r\ndata: 1\n\n".encode())
            await writer.drain()
            await self.go_on.wait()
            writer.write(b"data: 2\n\n")
        else:
            body = json.dumps(asked.headers)
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
        await writer.drain()


@asynccontextmanager
async def upstream(status: int = 200) -> AsyncIterator[Upstream]:
    """Serve on a free port of 127.0.0.1."""
    it = Upstream(status)
    async with await asyncio.start_server(it.serve, "127.0.0.1", 0) as server:
        it.port = server.sockets[0].getsockname()[1]
        yield it
