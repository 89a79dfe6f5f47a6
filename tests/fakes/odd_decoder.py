"""A decoder's template whose children do something else than decode: `python odd_decoder.py BEHAVIOUR … --fd N`."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gigastt.audio.pcm import Samples
from gigastt.errors import InvalidAudio
from gigastt.gateway.files.decoder_template import main

MINUTE = np.zeros(60 * 16_000, np.int16)
WANTED_BYTES = 1_000_000

_MACHINE = os.uname().machine
_GATEWAY = os.getppid()
_LIBC = ctypes.CDLL(None, use_errno=True)
# Calls without a function in Python: their number on every processor, or on x86-64 and ARM.
_RAW = {
    "ptrace": ((101, 117), (0x4206, _GATEWAY, 0, 0)),
    "process_vm_readv": ((310, 270), (_GATEWAY, 0, 0, 0, 0, 0)),
    "pidfd_open": ((434, 434), (_GATEWAY, 0)),
    "unshare": ((272, 97), (0,)),
    "bpf": ((321, 280), (0, 0, 0)),
    "io_uring_setup": ((425, 425), (1, 0)),
    "userfaultfd": ((323, 282), (0,)),
    "keyctl": ((250, 219), (0, 0, 0)),
}


def spin(source: BinaryIO, max_seconds: float, *_: object) -> Iterator[Samples]:
    while source:
        pass
    yield MINUTE


def wait_for_more(source: BinaryIO, max_seconds: float, *_: object) -> Iterator[Samples]:
    while source.seek(0, os.SEEK_END) < WANTED_BYTES:
        pass
    yield MINUTE


def crash(source: BinaryIO, max_seconds: float, *_: object) -> Iterator[Samples]:
    yield MINUTE
    os.abort()


def stall(source: BinaryIO, max_seconds: float, *_: object) -> Iterator[Samples]:
    yield MINUTE
    yield from spin(source, max_seconds)


def labour(source: BinaryIO, max_seconds: float, *_: object) -> Iterator[Samples]:
    for minute in range(3):
        while time.process_time() < 0.3 * (minute + 1):
            pass
        yield MINUTE


def flood(source: BinaryIO, max_seconds: float, *_: object) -> Iterator[Samples]:
    while True:
        for descriptor in range(3, 64):
            with contextlib.suppress(OSError):
                os.write(descriptor, bytes(1000))
        yield MINUTE[:0]


def eat(source: BinaryIO, max_seconds: float, *_: object) -> Iterator[Samples]:
    eaten = [np.ones(1_000_000) for _ in range(1000)]
    yield MINUTE[: len(eaten)]


def look(source: BinaryIO, max_seconds: float, *_: object) -> Iterator[Samples]:
    """Tell how many descriptors there are, and one more if the file cannot be changed."""
    yield MINUTE[:0]
    found = [descriptor for descriptor in range(4096) if _is_open(descriptor)]
    try:
        os.pwrite(source.fileno(), b"x", 0)
    except OSError:
        found.append(-1)
    raise InvalidAudio(f"found: {len(found)}")


def escape(source: BinaryIO, max_seconds: float, *_: object) -> Iterator[Samples]:
    """Try what a decoder has no business doing; tell what worked."""
    yield MINUTE[:0]
    worked = [name for name, attempt in _attempts().items() if _works(attempt)]
    raise InvalidAudio(f"worked: {' '.join(worked)}.")


def _attempts() -> dict[str, Callable[[], Any]]:
    here = str(Path(__file__))
    column = int(_MACHINE == "aarch64")

    def raw(name: str) -> Callable[[], Any]:
        numbers, arguments = _RAW[name]
        return lambda: _raise_errno(_LIBC.syscall(numbers[column], *map(ctypes.c_long, arguments)))

    return {
        "open": lambda: os.open(here, os.O_RDONLY),
        "open-write": lambda: os.open("/dev/shm/gigastt-escaped", os.O_WRONLY | os.O_CREAT),
        "open-memory": lambda: os.open(f"/proc/{_GATEWAY}/mem", os.O_RDONLY),
        "stat": lambda: Path(here).stat(),
        "listdir": lambda: list(Path("/").iterdir()),
        "unlink": lambda: Path("/dev/shm/gigastt-none").unlink(),
        "rename": lambda: Path(here).rename(here),
        "chmod": lambda: Path(here).chmod(0o644),
        "mkdir": lambda: Path("/dev/shm/gigastt-escaped").mkdir(),
        "socket-inet": lambda: socket.socket(socket.AF_INET),
        "socket-unix": lambda: socket.socket(socket.AF_UNIX),
        "socketpair": socket.socketpair,
        "pipe": os.pipe,
        "memfd": lambda: os.memfd_create("x"),
        "dup": lambda: os.dup(1),
        "fork": lambda: os.fork() or os._exit(0),
        "spawn": lambda: subprocess.run(["/bin/true"], check=True),
        "exec": lambda: os.execv("/bin/true", ["/bin/true"]),
        "thread": lambda: threading.Thread(target=int).start(),
        "signal": lambda: os.kill(_GATEWAY, 0),
        "signal-group": lambda: os.killpg(0, 0),
        "more-descriptors": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)),
        "more-processor-time": lambda: resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY,) * 2),
        "priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, 0),
        "truncate": lambda: os.ftruncate(1, 0),
        "shared-memory": lambda: mmap.mmap(-1, 1 << 40),
        **{name: raw(name) for name in _RAW},
    }


def _is_open(descriptor: int) -> bool:
    try:
        os.lseek(descriptor, 0, os.SEEK_CUR)
    except OSError as exc:
        return exc.errno != errno.EBADF
    return True


def _works(attempt: Callable[[], Any]) -> bool:
    try:
        attempt()
    except (OSError, RuntimeError, ValueError):
        return False
    return True


def _raise_errno(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), "raw call")


if __name__ == "__main__":
    behaviour, *_, flag, descriptor = sys.argv[1:]
    sys.exit(main([flag, descriptor], decode=globals()[behaviour]))
