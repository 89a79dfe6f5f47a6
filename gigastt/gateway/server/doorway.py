"""The doorway of a listener: who comes is let in fairly, by address.

    accepted ─counted→ the line of its address ─its turn→ transport, protocol → the application
        │                      ↑
        ├─too many: hung up on │
        └─where TLS is spoken: its first byte is looked at ──→ TLS, or plain HTTP, which is told where to go instead

Accepting is cheap, serving a connection is not: ten thousand from one address wait for each other, and one from another
address for a few of them. One address is let in so often a second (`NEWCOMERS`), and waits for its turn beyond that;
trusted proxies are not held back. With TLS a connection has no transport until its first byte is there, which stays in
the socket. Where many handshakes are not finished, an address with its share of them waits until one of its own ends.
On the event loop.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from gigastt.gateway.rate import Rate, RateLimiter
from gigastt.gateway.server.caps import Connections, Place
from gigastt.log import get_logger

log = get_logger(__name__)

# A new connection for each request costs a quarter of a millisecond or more, so this is an eighth of a core. An office
# behind one address may come all at once, after a restart.
NEWCOMERS: Final = Rate(per_minute=60 * 500, burst=500)

MOST_HANDSHAKES: Final = 500  # unfinished, of all addresses together; each holds 60 kB for up to `Deadlines.head`
_HANDSHAKE: Final = b"\x16"
_MOST_ACCEPTED: Final = 128  # in one pass of the loop
_MOST_LET_IN: Final = 4  # in one pass: each costs as much as many accepted ones
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAUSE_SECONDS: Final = 1.0

Open: TypeAlias = Callable[[socket.socket, Place], Awaitable[object]]  # gives a connection its transport and protocol


@dataclass(frozen=True, slots=True)
class Tls:
    """How a listener tells TLS from plain HTTP.

    Attributes:
        open: for connections that begin with a handshake.
        wait: seconds until the first byte must be there.
    """

    open: Open
    wait: float


class Doorway:
    """A listening socket and the connections that have no transport yet; stands in for asyncio.Server.

    Args:
        connections: counts those that come.
        open_plain: for connections without TLS.
        tls: None: the first byte is not looked at.
        newcomers: how many connections of one address are let in.
        in_line: how many that were let in have had no turn yet; while they are many, the others wait here, by address.
        most_handshakes: that are not finished; beyond that, each address may have its share of them.
    """

    def __init__(
        self,
        listener: socket.socket,
        connections: Connections,
        open_plain: Open,
        tls: Tls | None = None,
        newcomers: Rate = NEWCOMERS,
        in_line: Callable[[], int] = lambda: 0,
        most_handshakes: int = MOST_HANDSHAKES,
    ) -> None:
        self.sockets = (listener,)
        self._connections = connections
        self._open_plain = open_plain
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._silent: dict[socket.socket, tuple[Place, asyncio.TimerHandle]] = {}
        self._lines: dict[int, deque[tuple[socket.socket, Place, Open]]] = {}  # by address; each first in its turn
        self._held: dict[int, deque[tuple[socket.socket, Place, Open]]] = {}  # lines that wait for their next turn
        self._newcomers = RateLimiter(newcomers)
        self._handshakes: Counter[int] = Counter()  # under way, by address
        self._sated: set[int] = set()  # of the held, addresses that wait for one of theirs to end
        self._in_line = in_line
        self._most_handshakes = most_handshakes
        self._opening: set[asyncio.Future[object]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._loop.add_reader(listener.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more, and hang up on those that are not in yet."""
        [listener] = self.sockets
        if listener.fileno() >= 0:
            self._loop.remove_reader(listener.fileno())
        if self._pause is not None:
            self._pause.cancel()
        for connection in list(self._silent):
            self._hang_up(connection)
        for line in (*self._lines.values(), *self._held.values()):
            for connection, place, _ in line:
                place.leave()
                connection.close()
        self._lines.clear()
        self._held.clear()
        for task in self._opening:
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait for what `close` has cancelled."""
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _accept(self) -> None:
        [listener] = self.sockets
        for _ in range(_MOST_ACCEPTED):
            try:
                connection, peer = listener.accept()
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
            place = self._connections.enter(peer[0])
            if place is None:
                connection.close()
                continue
            connection.setblocking(False)
            if self._tls is None:
                self._stand_in_line(connection, place, self._open_plain)
            else:
                self._silent[connection] = place, self._loop.call_later(self._tls.wait, self._hang_up, connection)
                self._loop.add_reader(connection.fileno(), self._look, connection, self._tls)

    def _look(self, connection: socket.socket, tls: Tls) -> None:
        try:
            first = connection.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            first = b""
        if not first:
            self._hang_up(connection)
            return
        place = self._forget(connection)
        self._stand_in_line(connection, place, tls.open if first == _HANDSHAKE else self._open_plain)

    def _stand_in_line(self, connection: socket.socket, place: Place, opening: Open) -> None:
        if (held := self._held.get(place.key)) is not None:
            held.append((connection, place, opening))
            return
        if not self._lines:
            self._loop.call_soon(self._let_in)
        self._lines.setdefault(place.key, deque()).append((connection, place, opening))

    def _let_in(self) -> None:
        """Open a few, one of each address in turn."""
        for _ in range(_MOST_LET_IN if self._in_line() < _MOST_LET_IN else 1):
            if not self._lines:
                return
            key = next(iter(self._lines))
            line = self._lines.pop(key)
            shared = line[0][1].shared
            if not shared and (wait := self._newcomers.take(key, self._loop.time())):
                self._held[key] = line
                self._loop.call_later(wait, self._release, key)
                continue
            if not shared and self._has_its_share(key):
                self._held[key] = line
                self._sated.add(key)
                continue
            connection, place, opening = line.popleft()
            if line:
                self._lines[key] = line
            task = asyncio.ensure_future(opening(connection, place))
            self._opening.add(task)
            self._handshakes[key] += 1
            task.add_done_callback(partial(self._opened, connection, place))
        if self._lines:
            self._loop.call_soon(self._let_in)

    def _has_its_share(self, key: int) -> bool:
        addresses = len(self._handshakes) + (key not in self._handshakes)
        share = max(1, self._most_handshakes // addresses)
        return len(self._opening) >= self._most_handshakes and self._handshakes[key] >= share

    def _release(self, key: int) -> None:
        """Let a line take its next turn."""
        line = self._held.pop(key, None)
        if line is not None:
            if not self._lines:
                self._loop.call_soon(self._let_in)
            self._lines[key] = line

    def _opened(self, connection: socket.socket, place: Place, task: asyncio.Future[object]) -> None:
        self._opening.discard(task)
        self._handshakes[place.key] -= 1
        if not self._handshakes[place.key]:
            del self._handshakes[place.key]
        if place.key in self._sated:
            self._sated.remove(place.key)
            self._release(place.key)
        failure = asyncio.CancelledError() if task.cancelled() else task.exception()
        if failure is None:
            return
        connection.close()
        place.leave()
        if not isinstance(failure, OSError | ssl.CertificateError | asyncio.CancelledError):
            raise failure  # the others: the handshake failed, or took too long, or the server stops

    def _hang_up(self, connection: socket.socket) -> None:
        self._forget(connection).leave()
        connection.close()

    def _forget(self, connection: socket.socket) -> Place:
        self._loop.remove_reader(connection.fileno())
        place, timer = self._silent.pop(connection)
        timer.cancel()
        return place
