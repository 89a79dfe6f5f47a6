"""The decoder: untrusted container bytes to samples in shared memory, each upload in a process of its own.

Only a short WAV file that holds the samples as they are wanted is copied without one (`find_plain_samples`).

Owns the template, the process from which those processes are forked (`decoder_template`), and the segments until they
are handed out. Runs on the event loop; blocks nowhere. Whatever happens to a process (a crash, a limit, a client that
hangs up) ends as an answer about that one file, and leaves neither process nor segment behind. An end that the file
did not cause is tried once more, and then is a reason to come back later.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

import numpy as np

from gigastt import sandbox
from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.audio.selection import WHOLE, Selection
from gigastt.audio.shared import SHARED_MEMORY, SharedSegment, remove_leftovers
from gigastt.errors import CapacityTimeout, InvalidAudio
from gigastt.gateway.files.decoder_job import BASE_CPU_SECONDS, DecoderJob
from gigastt.gateway.files.decoder_report import DecodedFile, DecoderLost, read_report
from gigastt.log import get_logger
from gigastt.processes import python_command, spawn_child

log = get_logger(__name__)

LEAST_BYTES: Final = 16  # of a file: a shorter one is no audio of any format
PATIENCE_SECONDS: Final = 60.0  # by the clock; more with every second of audio, as for processor time
_LEAST_PACE = 2.0  # seconds of audio a second, on a machine that is busy with other things
_LOOK_SECONDS = 0.2  # between two looks at how far a process is
_END_SECONDS = 5.0  # for a process to be killed and reaped
BYTES_PER_CPU_SECOND: Final = 10_000_000  # a quiet file is read twice before any audio comes out of it
_MAX_REPORT_BYTES = 4096
_MAX_STATUS_BYTES = 16
_RETRY_AFTER_MS = 5_000
MOST_PLAIN_BYTES: Final = 2 * 1024 * 1024  # a minute: more would hold up the event loop
_HEAD_BYTES = 1024
_PLAIN = (1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)  # tag, channels, rate, bytes a second, bytes a frame, bits


class FileDecoder:
    """Decodes uploads; how many at once is up to the caller.

    Args:
        directory: where shared segments live.
        base_cpu_seconds: processor time that a file gets before any audio has come out of it.
        patience: how long that may take by the clock, in seconds.
        command: starts the template.
    """

    def __init__(
        self,
        directory: Path = SHARED_MEMORY,
        base_cpu_seconds: float = BASE_CPU_SECONDS,
        patience: float = PATIENCE_SECONDS,
        command: Sequence[str] = tuple(python_command("gigastt.gateway.files.decoder_main")),
    ) -> None:
        self._directory = directory
        self._base_cpu_seconds = base_cpu_seconds
        self._patience = patience
        self._command = command
        self._template: _Template | None = None
        self._starting = asyncio.Lock()
        self._warming: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Remove what dead servers left in shared memory, and start the template."""
        removed = remove_leftovers(self._directory)
        if removed:
            log.info("segments_removed", count=removed)
        if reason := sandbox.missing():
            message = "A fault in a decoding library could reach other processes and files of this user."
            log.warning("decoder_sandbox_incomplete", reason=reason, message=message)
        self._warming = asyncio.create_task(self._warm())

    async def close(self) -> None:
        """End the template, and with it every process that decodes."""
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        async with self._starting:
            if self._template is not None:
                await self._template.kill()
                self._template = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def decode(
        self,
        descriptor: int,
        max_seconds: float,
        on_size: Callable[[int], None] = lambda size: None,
        selection: Selection = WHOLE,
    ) -> DecodedFile:
        """Decode the file behind an open descriptor; the caller may close it afterwards.

        Args:
            on_size: is told of the bytes of shared memory that the file takes, while they grow and when they are
                known; what it raises ends the decoding.
            selection: what of it is heard.

        Raises:
            InvalidAudio: it is not audio, or decoding it broke a limit.
            InvalidParameter: it has no such track.
            AudioTooLong: it holds more than `max_seconds`.
            CapacityTimeout: shared memory is full, or the machine too busy, or processes were killed.
        """
        if os.fstat(descriptor).st_size < LEAST_BYTES:
            raise InvalidAudio("The file is too short to hold any audio.")
        plain = find_plain_samples(descriptor) if selection == WHOLE else None
        if plain is not None and plain.samples <= max_seconds * SAMPLE_RATE:
            return self._copy(descriptor, plain, on_size)
        base = self._base_cpu_seconds + os.fstat(descriptor).st_size / BYTES_PER_CPU_SECOND
        for _ in range(2):
            try:
                return await self._decode(descriptor, DecoderJob(max_seconds, base, selection), on_size)
            except DecoderLost as exc:
                log.warning("decoder_lost", cause=str(exc))
        raise CapacityTimeout("The server cannot decode the file now.", retry_after_ms=_RETRY_AFTER_MS)

    def _copy(self, descriptor: int, plain: PlainSamples, on_size: Callable[[int], None]) -> DecodedFile:
        segment = SharedSegment.create(directory=self._directory)
        try:
            on_size(2 * plain.samples)
            segment.append(np.frombuffer(os.pread(descriptor, 2 * plain.samples, plain.offset), dtype="<i2"))
            segment.trim(plain.samples)
        except BaseException:
            segment.unlink()
            raise
        return DecodedFile(segment, plain.samples)

    async def _decode(self, descriptor: int, job: DecoderJob, on_size: Callable[[int], None]) -> DecodedFile:
        template = await self._find_template()
        segment = SharedSegment.create(directory=self._directory)
        try:
            process = template.fork(job, descriptor, segment.descriptor)
            try:
                await self._watch(process, segment, on_size)
            finally:  # also when the client has hung up, and again if that happened while it was being ended
                await asyncio.shield(process.end())
            if process.exit_code is None:
                await template.kill()  # it has not told, so it is gone or will be
            file = read_report(process.report, process.exit_code, segment)
            on_size(2 * file.samples)
        except BaseException:
            segment.unlink()
            raise
        return file

    async def _watch(self, process: _Process, segment: SharedSegment, on_size: Callable[[int], None]) -> None:
        """Wait for a process's end, as long as it makes progress."""
        clock = asyncio.get_running_loop().time
        began = clock()
        while not await process.has_ended(_LOOK_SECONDS):
            size = segment.size
            on_size(size)
            if clock() - began > self._patience + size / 2 / SAMPLE_RATE / _LEAST_PACE:
                log.warning("decoder_too_slow", seconds=round(clock() - began, 1), size=size)
                raise CapacityTimeout("The server is too busy to decode the file.", retry_after_ms=_RETRY_AFTER_MS)

    async def _find_template(self) -> _Template:
        """Return the template; start it where there is none any more."""
        async with self._starting:
            if self._template is None or not self._template.alive:
                if self._template is not None:
                    await self._template.kill()
                try:
                    self._template = await _Template.spawn(self._command)
                except OSError as exc:
                    log.error("decoder_not_started", cause=str(exc))
                    raise DecoderLost("its process cannot be started") from exc
            return self._template

    async def _warm(self) -> None:
        with contextlib.suppress(DecoderLost):  # the next upload tries again
            await self._find_template()


class _Template:
    """The template process and our end of its socket."""

    def __init__(self, process: asyncio.subprocess.Process, sock: socket.socket) -> None:
        self._process = process
        self._socket = sock

    @classmethod
    async def spawn(cls, command: Sequence[str]) -> _Template:
        process, ours = await spawn_child(
            lambda descriptor: (*command, "--fd", str(descriptor)), stdout=asyncio.subprocess.DEVNULL
        )
        return cls(process, ours)

    @property
    def alive(self) -> bool:
        return self._process.returncode is None and self._socket.fileno() >= 0

    def fork(self, job: DecoderJob, body: int, segment: int) -> _Process:
        """Have a process forked that does a job.

        Raises:
            DecoderLost: the template is gone, or takes no jobs.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            try:
                socket.send_fds(self._socket, [job.to_json()], [theirs.fileno(), body, segment])
            except OSError as exc:
                ours.close()
                self._socket.close()
                raise DecoderLost("the template takes no jobs") from exc
        return _Process(self, ours)

    async def kill(self) -> None:
        """End the process, and its children with it, and reap it."""
        self._socket.close()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
        await self._process.wait()


class _Process:
    """One process that decodes, as seen over its line.

    Attributes:
        report: the first line, written by the process itself; b"" when it wrote none.
        exit_code: the last line, written by the template; None when the template is gone.
    """

    def __init__(self, template: _Template, line: socket.socket) -> None:
        self.report = b""
        self.exit_code: int | None = None
        self._template = template
        self._line = line
        self._reading = asyncio.create_task(self._read())

    async def has_ended(self, timeout: float) -> bool:
        """Wait so long for the process's end; say whether it has come."""
        await asyncio.wait({self._reading}, timeout=timeout)
        return self._reading.done()

    async def end(self) -> None:
        """Kill the process, if it has not ended, and wait until it is gone: only then is its segment what it is."""
        if not self._reading.done():
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_WR)
            if not await self.has_ended(_END_SECONDS):
                log.error("decoder_hangs")
                await self._template.kill()
            await self._reading
        self._line.close()

    async def _read(self) -> None:
        """Read to the end: no end comes before the process is gone, or the template."""
        loop = asyncio.get_running_loop()
        beginning = end = b""
        with contextlib.suppress(OSError):
            while piece := await loop.sock_recv(self._line, _MAX_REPORT_BYTES):
                beginning += piece[: _MAX_REPORT_BYTES - len(beginning)]
                end = (end + piece)[-_MAX_STATUS_BYTES:]
        lines = beginning.split(b"\n")
        self.report = lines[0]
        with contextlib.suppress(ValueError):
            self.exit_code = int(end.rstrip(b"\n").rpartition(b"\n")[2])


class PlainSamples(NamedTuple):
    """The samples of a file: the offset of their first byte, and their number."""

    offset: int
    samples: int


def find_plain_samples(descriptor: int) -> PlainSamples | None:
    """Return where the samples lie, in a short file of 16 kHz mono PCM16 with nothing odd in it.

    Whatever is not recognised here at once, however good a WAV file it may be, needs a process.
    """
    size = os.fstat(descriptor).st_size
    if not 44 < size <= MOST_PLAIN_BYTES:
        return None
    head = os.pread(descriptor, _HEAD_BYTES, 0)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE" or struct.unpack_from("<I", head, 4)[0] != size - 8:
        return None
    place, is_plain = 12, False
    while place + 8 <= len(head):
        name, length = struct.unpack_from("<4sI", head, place)
        place += 8
        if name == b"data":
            is_whole = place + length == size and length > 0 and length % 2 == 0
            return PlainSamples(place, length // 2) if is_plain and is_whole else None
        if name == b"fmt " and not is_plain and length == 16 and place + 16 <= len(head):
            is_plain = struct.unpack_from("<HHIIHH", head, place) == _PLAIN
        elif name != b"LIST":
            return None
        place += length + length % 2
    return None
