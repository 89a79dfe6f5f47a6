"""Cable: a proxy for TCP on this machine whose connections are cut, stalled and closed on one side on purpose.

    client ──→ 127.0.0.1:port ──→ 127.0.0.1:upstream

Nothing is torn up: bytes are forwarded in order or not at all, as TCP does. On the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

FAULTS = ("cut", "cut", "stalled", "half-closed towards the server", "half-closed towards the client", "out of order")
STALLS = (0.5, 3.0, 8.0)  # seconds: a hiccup, a tunnel, a connection that is half open to the client
_PIECE_BYTES = 16 * 1024


class Strand:
    """One connection through the cable."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.flowing = asyncio.Event()
        self.flowing.set()

    def cut(self) -> None:
        """End both sides without a word."""
        self.flowing.set()
        for writer in (self.client, self.server):
            writer.transport.abort()

    def half_close(self, *, towards_server: bool) -> None:
        """End one direction; the other goes on."""
        writer = self.server if towards_server else self.client
        with contextlib.suppress(OSError, RuntimeError):
            if writer.can_write_eof():
                writer.write_eof()

    def stall(self, seconds: float) -> None:
        """Let nothing through for a while: as a half-open connection, if it is long."""
        self.flowing.clear()
        asyncio.get_running_loop().call_later(seconds, self.flowing.set)


class Cable:
    """The proxy.

    Attributes:
        upstream: where new connections go.
        strands: the connections that are open.
        hold_seconds: for which the next new connection waits before it is made, while later ones overtake it.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.strands: set[Strand] = set()
        self.hold_seconds = 0.0
        self._server: asyncio.Server
        self._carrying: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        return int(self._server.sockets[0].getsockname()[1])

    def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carrying = asyncio.get_running_loop().create_task(self._carry(reader, writer))
        self._carrying.add(carrying)
        carrying.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held, self.hold_seconds = self.hold_seconds, 0.0
        await asyncio.sleep(held)
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            writer.transport.abort()
            return
        strand = Strand(writer, to_server)
        self.strands.add(strand)
        try:
            await asyncio.gather(_forward(reader, to_server, strand), _forward(from_server, writer, strand))
        finally:
            self.strands.discard(strand)
            strand.cut()

    def cut(self) -> None:
        """Cut every connection; new ones are carried."""
        for strand in list(self.strands):
            strand.cut()

    def disturb(self, chance: random.Random, stalls: Sequence[float] = STALLS) -> str | None:
        """Do something to one of the open connections; return what, or None where there is none.

        stalls: seconds that one may be stalled.
        """
        if not self.strands:
            return None
        strand = chance.choice(sorted(self.strands, key=id))
        fault = chance.choice(FAULTS)
        match fault:
            case "stalled":
                strand.stall(chance.choice(stalls))
            case "half-closed towards the server" | "half-closed towards the client":
                strand.half_close(towards_server=fault.endswith("server"))
            case "out of order":
                self.hold_seconds = min(1.0, max(stalls))
                strand.cut()
            case _:
                strand.cut()
        return fault


@asynccontextmanager
async def laid(upstream: int) -> AsyncIterator[Cable]:
    """Lay a cable to a port of this machine."""
    cable = Cable(upstream)
    cable._server = await asyncio.start_server(cable._connect, "127.0.0.1", 0)
    try:
        yield cable
    finally:
        cable._server.close()
        for carrying in list(cable._carrying):
            carrying.cancel()
        await asyncio.gather(*cable._carrying, return_exceptions=True)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, strand: Strand) -> None:
    """Forward one direction to its end, and then end the other side's input."""
    try:
        while piece := await reader.read(_PIECE_BYTES):
            await strand.flowing.wait()
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except (OSError, RuntimeError):
        strand.cut()
