"""The decoder: untrusted container bytes to samples in shared memory, each upload in a process of its own.

Owns the processes (a few are started ahead of need) and the segments until they are handed out. Runs on the event
loop; blocks nowhere. Whatever happens to a process (a crash, a limit, the deadline, a client that hangs up) ends as
an answer about that one file, and leaves neither process nor segment behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import signal
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.audio.shared import SHARED_MEMORY, SharedSegment, remove_leftovers
from gigastt.errors import AudioTooLong, CapacityTimeout, InvalidAudio, RequestError
from gigastt.gateway.decoder_main import Job
from gigastt.gateway.events import HoleEvent
from gigastt.log import get_logger
from gigastt.processes import python_command, spawn_child

log = get_logger(__name__)

BASE_SECONDS = 8.0  # a file may take this long, and a second more for every so many bytes
BYTES_PER_SECOND = 200_000
_MAX_REPORT_BYTES = 4096
_ERRORS: dict[str, type[RequestError]] = {cls.code: cls for cls in (InvalidAudio, AudioTooLong, CapacityTimeout)}


@dataclass(frozen=True, slots=True)
class DecodedFile:
    """A decoded upload: the first `samples` of a shared segment, which whoever holds this must `unlink`."""

    segment: SharedSegment
    samples: int
    holes: tuple[HoleEvent, ...] = ()

    @property
    def name(self) -> str:
        """The segment's name, by which a worker attaches it."""
        return self.segment.name

    @property
    def seconds(self) -> float:
        """The length of the audio."""
        return self.samples / SAMPLE_RATE

    def unlink(self) -> None:
        """Give the memory back."""
        self.segment.unlink()


class Decoder:
    """Decodes uploads, a few at once.

    Args:
        concurrency: uploads that are decoded at the same time; others wait.
        spares: processes kept ready, so that an upload does not wait for an interpreter to start.
        directory: where shared segments live.
        deadline: the least time a file gets, in seconds.
    """

    def __init__(
        self,
        concurrency: int = 2,
        spares: int = 2,
        directory: Path = SHARED_MEMORY,
        deadline: float = BASE_SECONDS,
        command: Sequence[str] = tuple(python_command("gigastt.gateway.decoder_main")),
    ) -> None:
        self._places = asyncio.Semaphore(concurrency)
        self._spares = spares
        self._directory = directory
        self._deadline = deadline
        self._command = command
        self._waiting: deque[_Process] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def start(self) -> None:
        """Remove what dead servers left in shared memory, and start the spare processes."""
        removed = remove_leftovers(self._directory)
        if removed:
            log.info("segments_removed", count=removed)
        for _ in range(self._spares):
            self._spawn_later()

    async def close(self) -> None:
        """End every process that waits for work."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while self._waiting:
            await self._waiting.popleft().kill()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def decode(self, descriptor: int, max_seconds: float) -> DecodedFile:
        """Decode the file behind an open descriptor; the caller may close it afterwards.

        Raises:
            InvalidAudio: it is not audio, or decoding it broke a limit.
            AudioTooLong: it holds more than `max_seconds`.
            CapacityTimeout: shared memory is full.
        """
        size = os.fstat(descriptor).st_size
        seconds = self._deadline + size / BYTES_PER_SECOND
        async with self._places:
            process = await self._take_process()
            segment: SharedSegment | None = None
            try:
                segment = SharedSegment.create(directory=self._directory)
                job = Job(segment.name, str(self._directory), max_seconds, math.ceil(seconds))
                async with asyncio.timeout(seconds):
                    report = await process.run(job, descriptor)
                await process.kill()  # before its segment is believed to keep its size
                if not report:
                    log.warning("upload_killed_decoder", size=size)
                return _read_report(report, segment)
            except TimeoutError as exc:
                _discard(segment)
                raise InvalidAudio("Decoding the file takes longer than it may.") from exc
            except BaseException:
                _discard(segment)
                raise
            finally:
                # Also when the client has hung up, and again if that happened while it was being ended.
                await asyncio.shield(process.kill())
                self._spawn_later()  # only now: starting an interpreter takes time from decoding

    async def _take_process(self) -> _Process:
        """Return a warm process that is alive, or start one."""
        while self._waiting:
            process = self._waiting.popleft()
            if process.alive:
                return process
            await process.kill()
        return await _Process.spawn(self._command)

    def _spawn_later(self) -> None:
        if self._closed:
            return
        task = asyncio.create_task(self._spawn_spare())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _spawn_spare(self) -> None:
        if len(self._waiting) + len(self._tasks) > self._spares:
            return
        try:
            process = await _Process.spawn(self._command)
        except OSError as exc:
            log.error("decoder_not_started", cause=str(exc))
            return
        self._waiting.append(process)


class _Process:
    """One decoder process and our end of its socket."""

    def __init__(self, process: asyncio.subprocess.Process, sock: socket.socket) -> None:
        self._process = process
        self._socket = sock

    @classmethod
    async def spawn(cls, command: Sequence[str]) -> _Process:
        process, ours = await spawn_child(
            lambda descriptor: (*command, "--fd", str(descriptor)), stdout=asyncio.subprocess.DEVNULL
        )
        return cls(process, ours)

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def run(self, job: Job, descriptor: int) -> bytes:
        """Give the process its job and return what it reports: nothing when it dies."""
        loop = asyncio.get_running_loop()
        report = b""
        try:
            socket.send_fds(self._socket, [job.to_json()], [descriptor])
            while len(report) < _MAX_REPORT_BYTES and not report.lstrip().endswith(b"\n"):
                piece = await loop.sock_recv(self._socket, _MAX_REPORT_BYTES)
                if not piece:
                    break
                report += piece
        except OSError:
            return b""
        return report.strip()

    async def kill(self) -> None:
        """End the process, if it has not ended, and reap it."""
        self._socket.close()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
        await self._process.wait()


def _read_report(report: bytes, segment: SharedSegment) -> DecodedFile:
    """Believe a report as far as it can be checked: a hostile file may have written it."""
    try:
        fields: dict[str, Any] = json.loads(report)
        samples, code = fields.get("samples"), fields.get("code")
        if isinstance(samples, int) and samples > 0:
            segment.trim(samples)
            segment.map(samples)
            return DecodedFile(segment, samples, _read_holes(fields.get("holes")))
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise InvalidAudio("The file cannot be decoded.") from None  # the process died of it, or lies
    error = _ERRORS.get(code) if isinstance(code, str) else None
    if error is None:
        raise InvalidAudio("The file cannot be decoded.")
    retry_after_ms = fields.get("retry_after_ms")
    raise error(
        str(fields.get("message"))[:200], retry_after_ms=retry_after_ms if isinstance(retry_after_ms, int) else None
    )


def _read_holes(holes: Any) -> tuple[HoleEvent, ...]:
    """Return the spans in which a file has no audio, as far as they are told in the right form.

    Raises:
        ValueError: they are not.
    """
    read = []
    for start, end, reason in holes or []:
        read.append(HoleEvent("audio_damaged" if reason == "damaged" else "audio_missing", float(start), float(end)))
    return tuple(read)


def _discard(segment: SharedSegment | None) -> None:
    if segment is not None:
        segment.unlink()
