"""The decoder's template: a process that has imported everything, parses nothing, and forks a child for each upload.

Started by `decoder` by way of `decoder_main`. An interpreter with its libraries takes 0.2 s of
processor time to start, a fork 3 ms. The template has one thread and holds of an upload only the line over which its
end is told. Imports neither onnxruntime nor asyncio.

    gateway ── job: JSON, and three descriptors beside it: line, body, segment ──► template
    child ── one JSON line: {"samples": n} or {"code": …, "message": …, "retry_after_ms": …} ──► line
    template ── exit code of the child, negative for a signal, when it is gone; then the end ──► line

The line's end tells the gateway that the child is gone, whatever the child has written. The gateway closes its
side, or the way out of its side, to have the child killed.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import io
import os
import pkgutil
import resource
import select
import signal
import socket
import wave
from pathlib import Path
from typing import NoReturn

from gigastt import sandbox
from gigastt.audio.decode import decode as decode_file
from gigastt.audio.selection import Findings, Selection
from gigastt.gateway.files.decoder_job import Decode, DecoderJob, run_job
from gigastt.processes import end_with_parent

MAX_JOB_BYTES = 4096
_MEMORY_BYTES = 256 * 1024 * 1024  # of address space that a child may use beyond what the template has
_DESCRIPTORS = 64
_NICENESS = 5  # live speech goes first
_NOT_FOR_DECODING = ("av.__main__", "av.datasets")
_STATM = Path("/proc/self/statm")


def main(arguments: list[str], decode: Decode = decode_file) -> int:
    """Fork a child for each job until the gateway is gone; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gigastt.gateway.files.decoder_main")
    parser.add_argument("--fd", type=int, required=True, help="the inherited socket to the gateway")
    with socket.socket(fileno=parser.parse_args(arguments).fd) as control:
        _preload()
        _limit()
        Template(control, decode).run()
    return 0


class Template:
    """Takes jobs, forks, and tells how the children ended."""

    def __init__(self, control: socket.socket, decode: Decode) -> None:
        self._control = control
        self._decode = decode
        self._lines: dict[int, socket.socket] = {}  # by the child's process id
        self._nowhere = os.open(os.devnull, os.O_WRONLY)
        self._ended, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        for descriptor in (control.fileno(), self._ended):
            self._poll.register(descriptor, select.POLLIN)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wake)

    def run(self) -> None:
        """Serve until the gateway is gone; the children end with this process."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._ended:
                    os.read(self._ended, 4096)
                    self._reap()
                elif descriptor != self._control.fileno():
                    self._kill(descriptor)
                elif not self._take_job():
                    return

    def _take_job(self) -> bool:
        """Start the next job; False when there will be none."""
        try:
            body, descriptors, _, _ = socket.recv_fds(self._control, MAX_JOB_BYTES, 3)
        except OSError:  # a reset is as much an end as any
            return False
        if not body:
            return False
        try:
            if len(descriptors) == 3:
                self._start(DecoderJob.from_json(body), *descriptors)
        finally:
            for descriptor in descriptors[1:]:
                os.close(descriptor)
        return True

    def _start(self, job: DecoderJob, line: int, body: int, segment: int) -> None:
        side = socket.socket(fileno=line)
        template = os.getpid()
        try:
            pid = os.fork()
        except OSError:  # no process or no memory to be had: the line's end says that nothing came of it
            side.close()
            return
        if not pid:
            self._become_child(template, job, line, body, segment)
        self._lines[pid] = side
        self._poll.register(side, select.POLLIN)

    def _become_child(self, template: int, job: DecoderJob, line: int, body: int, segment: int) -> NoReturn:
        code = 1
        try:
            end_with_parent()
            if os.getppid() != template:  # it ended meanwhile
                os._exit(code)
            signal.set_wakeup_fd(-1)
            os.dup2(self._nowhere, 2)  # what libraries print about a file could hold its words
            run_job(job, body=body, segment=segment, report=line, decode=self._decode)
            code = 0
        finally:
            os._exit(code)

    def _kill(self, descriptor: int) -> None:
        """End the child whose line the gateway has closed."""
        self._poll.unregister(descriptor)
        for pid, side in self._lines.items():
            if side.fileno() == descriptor:
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        for pid in list(self._lines):
            reaped, status = os.waitpid(pid, os.WNOHANG)
            if reaped:
                side = self._lines.pop(pid)
                with contextlib.suppress(KeyError):
                    self._poll.unregister(side)
                with contextlib.suppress(OSError):  # the gateway has gone, or the child has filled the line
                    side.send(b"\n%d\n" % os.waitstatus_to_exitcode(status), socket.MSG_DONTWAIT)
                side.close()


def _preload() -> None:
    """Import whatever decoding may need, and decode something: a child can import nothing any more."""
    import av
    import numpy.random  # noqa: F401 - numpy imports it when it is first asked for

    import gigastt.audio

    for package in (av, gigastt.audio):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name not in _NOT_FOR_DECODING:
                importlib.import_module(module.name)
    for _ in decode_file(_silence(), 60.0, Findings(), Selection(channel=0)):
        pass
    gc.collect()
    gc.freeze()  # or the children's collections would copy every page


def _silence() -> io.BytesIO:
    """Return a WAV file of a second at 8 kHz, which takes decoding the whole way."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8_000)
        writer.writeframes(bytes(16_000))
    file.seek(0)
    return file


def _limit() -> None:
    """Limit this process and its children; what depends on a job, the child limits itself."""
    sandbox.prepare()
    sandbox.forbid_new_privileges()
    os.nice(_NICENESS)
    pages = int(_STATM.read_text(encoding="ascii").split()[0])
    memory = pages * resource.getpagesize() + _MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
