"""The server: listening sockets, and a life that ends in order.

    bind → startup → main_loop ──first signal──→ drain ──all done, or time is up──→ shutdown
                                                   └────────second signal───────────────↗

While draining, the server still listens, so that a newcomer is told `shutting_down` and `/ready` answers 503; every
session sends its last final and closes with 1001. uvicorn would close every WebSocket with 1012 at once, so its
shutdown begins only when the drain is over. Runs on the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from functools import partial
from types import FrameType
from typing import Any, TypeAlias

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from gigastt.errors import PortUnavailable
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.server.caps import PLACE, Connections, Place
from gigastt.gateway.server.deadlines import ConnectionConfig, Deadlines
from gigastt.gateway.server.doorway import Doorway, Tls
from gigastt.gateway.server.http_protocol import HttpConnection
from gigastt.gateway.server.tls import Certificate
from gigastt.gateway.server.ws_protocol import WebSocketConnection
from gigastt.log import get_logger

log = get_logger(__name__)

BACKLOG = 2_048
_KEEP_ALIVE_SECONDS = 75  # longer than a reverse proxy keeps a connection, so that it is the one to close
_DEADLINES = Deadlines()
SEND_BUFFER_BYTES = 128 * 1024
MOST_UNSENT_IN_KERNEL_BYTES = 4 * 1024  # so that a client that does not read is noticed before its buffer is full
_STOP_SECONDS = 1
_ONE_SIGNAL_SECONDS = 1.0  # make and the terminal may both pass on one Ctrl-C: that is not a second one
_LAG_SECONDS = 0.25
_DATE_SECONDS = 1.0  # how old the date in an answer may be
ConnectionFactory: TypeAlias = Callable[[ConnectionConfig, ServerState, Place], asyncio.Protocol]
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def bind(host: str, port: int, setting: str | None = None) -> list[socket.socket]:
    """Listen on every address of `host`; port 0 takes a free one.

    Args:
        setting: the flag that named both; None: `--host` and `--port` did.

    Raises:
        PortUnavailable: the port is taken or forbidden, or the host is not this machine's.
    """
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            if sockets and port == 0:
                break
            sockets.append(_listen(family, address, both=host == "::"))
    except OSError as exc:
        for opened in sockets:
            opened.close()
        raise PortUnavailable(_explain(exc, host, port, setting)) from exc
    return sockets


class Server(uvicorn.Server):
    """One listener and everything that is connected to it."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_frame_bytes: int,
        begin_drain: Callable[[], None] | None = None,
        drain_seconds: Callable[[], float] = lambda: 0.0,
        handle_signals: bool = True,
        deadlines: Deadlines = _DEADLINES,
        connections: Connections | None = None,
        certificate: Certificate | None = None,
        plain_app: ASGIApp | None = None,
        event: str = "listening",
        events: Mapping[int, str] | None = None,
        protocols: Mapping[int, ConnectionFactory] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Build a server.

        Args:
            app: the ASGI application.
            max_frame_bytes: WebSocket messages over this are answered with close 1009.
            begin_drain: called once, at the first signal; makes sessions finish and refuses newcomers.
            drain_seconds: returns how long that may take.
            handle_signals: listen to SIGINT and SIGTERM; one server of a process does.
            deadlines: of slow and silent peers.
            connections: counts and limits them; None: any number may be open.
            certificate: for TLS; None: plain HTTP.
            plain_app: answers plain HTTP on the ports that speak TLS; there must be one where there is a certificate.
            event: the log event, with host and port, when the server listens.
            events: others, by the port of a listener.
            protocols: what makes the connections of a listener that speaks no HTTP, by its port; they have no TLS.
            clock: tells when signals come, in seconds.
        """
        super().__init__(_configure(app, deadlines, max_frame_bytes))
        self.config: ConnectionConfig
        assert (certificate is None) == (plain_app is None)
        self._plain = _configure(plain_app, deadlines, max_frame_bytes) if plain_app is not None else None
        self._connections = Connections() if connections is None else connections
        self.servers: list[Doorway] = []  # type: ignore[assignment]
        self._begin_drain = begin_drain
        self._drain_seconds = drain_seconds
        self._handle_signals = handle_signals
        self.certificate = certificate
        self._event = event
        self._events = events or {}
        self._protocols = protocols or {}
        self._clock = clock
        self._draining: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()
        self._signalled_at = 0.0

    @property
    def draining(self) -> bool:
        """Whether the server has been told to stop."""
        return self._draining is not None or self.should_exit

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self.servers[0].sockets[0].getsockname()[1])

    def change_frame_limit(self, max_frame_bytes: int) -> None:
        """Set the limit of connections to come."""
        self.config.ws_max_size = max_frame_bytes

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal, stop at a second one that comes at least a second later."""
        now = self._clock()
        if self._draining is None:
            log.info("draining", signal=signal.Signals(sig).name, seconds=self._drain_seconds())
            self._signalled_at = now
            if self._begin_drain is not None:
                self._begin_drain()
            self._draining = asyncio.get_running_loop().create_task(self._drain(), name="drain")
        elif now >= self._signalled_at + _ONE_SIGNAL_SECONDS:
            log.warning("stopping_now", signal=signal.Signals(sig).name)
            self.stop(force=True)

    def stop(self, *, force: bool = False) -> None:
        """End `serve` without draining; with `force`, also without waiting for requests."""
        self.should_exit = True
        self._stopped.set()
        self.force_exit = self.force_exit or force

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; uvicorn's own startup would let a TLS handshake take a minute."""
        if self._plain is not None:
            self._plain.load()
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            connect = self._protocols.get(port)
            tls = connect is None and self.certificate is not None
            self.servers.append(self._open_doorway(listener, connect))
            log.info(self._events.get(port, self._event), host=host, port=port, tls=tls)
        self.started = True

    def _open_doorway(self, listener: socket.socket, connect: ConnectionFactory | None) -> Doorway:
        if connect is not None:
            return Doorway(listener, self._connections, self._opening(self.config, connect))
        opening = self._opening(self.config, self._connect)
        rota = self.config.rota
        if self.certificate is None:
            return Doorway(listener, self._connections, opening, in_line=lambda: rota.newcomers)
        assert self._plain is not None
        deadlines = self.config.deadlines
        tls = Tls(
            partial(
                opening,
                ssl=self.certificate.context,
                ssl_handshake_timeout=deadlines.head,
                ssl_shutdown_timeout=deadlines.linger,
            ),
            deadlines.head,
        )
        return Doorway(
            listener, self._connections, self._opening(self._plain, self._connect), tls, in_line=lambda: rota.newcomers
        )

    def _opening(self, config: ConnectionConfig, connect: ConnectionFactory) -> Callable[..., Awaitable[object]]:
        loop = asyncio.get_running_loop()

        def opening(connection: socket.socket, place: Place, **options: Any) -> Awaitable[object]:
            return loop.connect_accepted_socket(
                lambda: connect(config, self.server_state, place), connection, **options
            )

        return opening

    def _connect(self, config: ConnectionConfig, state: ServerState, place: Place) -> HttpConnection:
        return HttpConnection(config, state, {**self.lifespan.state, PLACE: place})

    async def main_loop(self) -> None:
        """Wait for the end, and keep the date of answers; uvicorn's own loop wakes ten times a second."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), _DATE_SECONDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._draining is not None:
            self._draining.cancel()
        if self.force_exit:
            for task in list(self.server_state.tasks):
                task.cancel()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Take signals through the event loop; uvicorn raises them again at the end, which exits with failure."""
        loop = asyncio.get_running_loop()
        signals = _SIGNALS if self._handle_signals else ()
        for sig in signals:
            loop.add_signal_handler(sig, self.handle_exit, sig, None)
        try:
            yield
        finally:
            for sig in signals:
                loop.remove_signal_handler(sig)

    async def _drain(self) -> None:
        """Wait until every request and session has been answered to the end, or time is up."""
        try:
            async with asyncio.timeout(self._drain_seconds()):
                while self.server_state.tasks:
                    await asyncio.wait(tuple(self.server_state.tasks))
            log.info("drained")
        except TimeoutError:
            log.warning("drain_timed_out", unfinished=len(self.server_state.tasks))
        self.stop()


def _configure(app: ASGIApp, deadlines: Deadlines, max_frame_bytes: int) -> ConnectionConfig:
    return ConnectionConfig(
        app,
        deadlines,
        http=HttpConnection,
        ws=WebSocketConnection,
        ws_per_message_deflate=False,  # speech does not compress, and a small frame could become a huge one
        ws_max_size=max_frame_bytes,
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_STOP_SECONDS,
        backlog=BACKLOG,
        interface="asgi3",
    )


async def watch_loop_lag(metrics: Metrics) -> None:
    """Measure for ever how late the event loop runs a timer."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LAG_SECONDS
        await asyncio.sleep(_LAG_SECONDS)
        metrics.event_loop_lag_seconds.observe(max(0.0, loop.time() - due))


def _listen(family: socket.AddressFamily | int, address: tuple[object, ...], *, both: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MOST_UNSENT_IN_KERNEL_BYTES)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
        listener.bind(address)
        listener.listen(BACKLOG)  # here, not later: two servers may both bind, but not both listen
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _explain(exc: OSError, host: str, port: int, setting: str | None) -> str:
    port_setting, host_setting = setting or "--port", setting or "--host"
    if exc.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken: another server runs there. Choose another with {port_setting}."
    if exc.errno == errno.EACCES:
        return f"Port {port} may not be used without special rights. Choose one from 1024 up with {port_setting}."
    if isinstance(exc, socket.gaierror) or exc.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine. Choose another with {host_setting}."
    return f"The server cannot listen on {host}, port {port}: {os.strerror(exc.errno or 0)}."
