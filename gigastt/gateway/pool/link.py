"""One worker process and the gateway's end of its pipe.

An asyncio protocol over a socket pair, on the event loop. Owns the child: spawns it (never forks a Python),
frames and validates messages, notices its end, kills it. The child inherits the other end of its own pipe, its black
box, and nothing else, so end-of-file here means that it is gone, and end-of-file there that the gateway is. What the
child writes to standard error goes straight to ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from gigastt.errors import ProtocolViolation
from gigastt.gateway.pool.lifesigns import ProcessState
from gigastt.ipc.blackbox import BlackBox, Touch
from gigastt.ipc.messages import ToGateway, ToWorker
from gigastt.ipc.packets import PacketDecoder, decode_to_gateway, encode_message, encode_packet
from gigastt.log import get_logger
from gigastt.processes import FAULTS, spawn_child

log = get_logger(__name__)

STOP_SECONDS = 2.0
REAP_SECONDS = 0.5  # from the end of the pipe to the end of the process
_TICKS = os.sysconf("SC_CLK_TCK")

MessageHandler = Callable[["WorkerProcess", ToGateway], None]


@dataclass(frozen=True, slots=True)
class Death:
    """Why a worker is gone.

    touches: the audio it was looking at, if it crashed or was killed here for misbehaving; none when a signal came
        from outside.
    """

    reason: str
    touches: tuple[Touch, ...] = ()


class WorkerProcess(asyncio.Protocol):
    """A running worker."""

    def __init__(self, index: int, on_message: MessageHandler, on_writable: Callable[[WorkerProcess], None]) -> None:
        """Args:
        index: its place in the pool.
        on_message: called with each message, in order; a ProtocolViolation it raises kills the worker.
        on_writable: called when the pipe takes messages again after it was full.
        """
        self.index = index
        self.writable = True
        self._on_message = on_message
        self._on_writable = on_writable
        self._decoder = PacketDecoder()
        self._lost = asyncio.Event()
        self._kill_reason: str | None = None
        self._box: BlackBox
        self._stat = -1  # /proc/PID/stat, open: it can be read when no descriptor is free
        self._transport: asyncio.Transport
        self._process: asyncio.subprocess.Process
        self._is_started = False

    async def start(self, command: Callable[[int], list[str]]) -> None:
        """Start the process; its messages may come before this returns.

        Args:
            command: the argument vector for a worker that talks on an inherited descriptor; `--box` and the
                descriptor of its black box, and `--place`, are added.

        Raises:
            OSError: the system cannot start a process.
        """
        box = BlackBox.create()
        try:
            self._box = BlackBox(box)
            added = ["--box", str(box), "--place", str(self.index)]
            process, ours = await spawn_child(lambda fd: [*command(fd), *added], inherit=(box,))
        finally:
            os.close(box)
        self._process, self._is_started = process, True
        if self._kill_reason is not None:
            process.kill()
        with contextlib.suppress(OSError):
            self._stat = os.open(f"/proc/{self.pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self, sock=ours)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: ToWorker) -> None:
        """Send a message; it is buffered while `writable` is false, and dropped when the worker is gone."""
        if not self._transport.is_closing():
            self._transport.write(encode_packet(encode_message(message)))

    def kill(self, reason: str) -> None:
        """End the process at once, or as soon as it is started; `wait` reports the reason."""
        if not self._is_started:
            self._kill_reason = reason
        elif self._process.returncode is None:
            self._kill_reason = self._kill_reason or reason
            self._process.kill()

    async def wait(self) -> Death:
        """Wait until the pipe is at its end and the process is reaped."""
        await self._lost.wait()
        # A worker that closed its pipe and lives on is of no use.
        if self._process.returncode is None:
            try:
                async with asyncio.timeout(REAP_SECONDS):  # `wait_for` may lose a cancellation
                    await self._process.wait()
            except TimeoutError:
                self.kill("crashed")
        code = await self._process.wait()
        if self._kill_reason is not None:
            reason, is_evidence = self._kill_reason, self._kill_reason != "stopped"
        else:  # a worker turns a fault's signal that somebody sends it into SIGKILL (`watch_for_signals`)
            is_evidence = code >= 0 or -code in FAULTS
            reason = "crashed" if is_evidence else "killed"
        death = Death(reason, tuple(self._box.read()) if is_evidence else ())
        self._close()
        return death

    @property
    def in_pass(self) -> bool:
        """Whether the worker is in the middle of a piece of work."""
        return not self._box.is_empty

    async def stop(self) -> None:
        """Close the pipe, which ends the worker; kill it when it takes too long."""
        self._transport.abort()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self.kill("closed")
            await self._process.wait()
        self._close()

    def observe(self) -> ProcessState | None:
        """Ask the kernel about the process; None where it does not tell."""
        try:
            stat = os.pread(self._stat, 1024, 0)
        except OSError:
            return None
        # The second field is the command in parentheses and may contain anything.
        fields = stat.rpartition(b")")[2].split()
        return ProcessState(fields[0].decode(), (int(fields[11]) + int(fields[12])) / _TICKS)

    def _close(self) -> None:
        """Give back the descriptors, now: the collector comes rarely."""
        self._box.close()
        if self._stat >= 0:
            os.close(self._stat)
            self._stat = -1

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._decoder.feed(data):
                self._on_message(self, decode_to_gateway(body))
        except ProtocolViolation as exc:
            log.error("worker_violation", worker=self.index, pid=self.pid, cause=str(exc))
            self.kill("violation")
            self._transport.abort()

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        self._on_writable(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.writable = False
        self._lost.set()
