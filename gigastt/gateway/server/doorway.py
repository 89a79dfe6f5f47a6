"""The doorway of a port that speaks TLS: a plain HTTP request there is answered, too, with where to go instead.

    accepted ─first byte of a handshake→ TLS ──→ the server's application
        │
        ├─any other first byte→ plain HTTP ──→ the application for strangers
        └─hung up, or nothing came in time→ closed

The first byte is looked at and stays in the socket. Until it is there a connection has no transport; `wait` seconds are
all it gets. On the event loop.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from gigastt.log import get_logger

log = get_logger(__name__)

_HANDSHAKE: Final = b"\x16"
_MOST_AT_ONCE: Final = 128  # accepted before others have their turn
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAUSE_SECONDS: Final = 1.0

Open: TypeAlias = Callable[[socket.socket], Awaitable[object]]  # gives a connection its transport and protocol


class Doorway:
    """A listening socket and the connections that have not shown yet what they speak; stands in for asyncio.Server.

    Args:
        wait: seconds until the first byte must be there.
    """

    def __init__(self, listener: socket.socket, *, open_tls: Open, open_plain: Open, wait: float) -> None:
        self.sockets = (listener,)
        self._open_tls = open_tls
        self._open_plain = open_plain
        self._wait = wait
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[socket.socket, asyncio.TimerHandle] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._loop.add_reader(listener.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more, and hang up on those that have shown nothing."""
        [listener] = self.sockets
        if listener.fileno() >= 0:
            self._loop.remove_reader(listener.fileno())
        if self._pause is not None:
            self._pause.cancel()
        for connection in list(self._waiting):
            self._forget(connection)
            connection.close()
        for task in self._opening:
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait for what `close` has cancelled."""
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _accept(self) -> None:
        [listener] = self.sockets
        for _ in range(_MOST_AT_ONCE):
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                if exc.errno not in _EXHAUSTED:
                    raise
                log.warning("accept_paused", reason=exc.strerror)
                self._loop.remove_reader(listener.fileno())
                self._pause = self._loop.call_later(
                    _PAUSE_SECONDS, self._loop.add_reader, listener.fileno(), self._accept
                )
                return
            connection.setblocking(False)
            self._waiting[connection] = self._loop.call_later(self._wait, self._hang_up, connection)
            self._loop.add_reader(connection.fileno(), self._look, connection)

    def _look(self, connection: socket.socket) -> None:
        try:
            first = connection.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            first = b""
        if not first:
            self._hang_up(connection)
            return
        self._forget(connection)
        opening = self._loop.create_task(self._open(connection, first == _HANDSHAKE))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket, is_tls: bool) -> None:
        try:
            await (self._open_tls if is_tls else self._open_plain)(connection)
        except (OSError, ssl.CertificateError):  # the handshake failed, or took too long; the transport is closed
            connection.close()

    def _hang_up(self, connection: socket.socket) -> None:
        self._forget(connection)
        connection.close()

    def _forget(self, connection: socket.socket) -> None:
        self._loop.remove_reader(connection.fileno())
        self._waiting.pop(connection).cancel()
