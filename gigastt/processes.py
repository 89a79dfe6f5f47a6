"""Child processes: how every one of ours is started, and what each does to itself before it imports anything heavy.

A child runs a module of this package with `-P`: what lies in the directory where the server was started is never
imported. It starts in a session of its own, because a terminal and systemd signal the whole group, and inherits one
end of a socket pair and no other descriptor: the end of that pipe means that the other side is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio.subprocess

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# The signals by which the kernel or the C library ends a process for what it did itself.
FAULTS = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS}
)


def python_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this package in a child, from anywhere."""
    return [sys.executable, "-P", "-m", module, *arguments]


async def spawn_child(
    command: Callable[[int], Sequence[str]], *, stdout: int | None = None, inherit: Sequence[int] = ()
) -> tuple[asyncio.subprocess.Process, socket.socket]:
    """Start a child that talks over a socket pair; return it and our end, non-blocking.

    Call this from the main thread only: `prepare_child` ends the child with the thread that started it.

    Args:
        command: the argument vector, given the descriptor that the child inherits.
        stdout: as for `subprocess.Popen`.
        inherit: further descriptors that the child gets, under the same numbers.

    Raises:
        OSError: the system cannot start a process.
    """
    import asyncio  # here: a child never starts another, and does without it

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        try:
            process = await asyncio.create_subprocess_exec(
                *command(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stdout,
                pass_fds=(theirs.fileno(), *inherit),
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
    return process, ours


def prepare_child() -> None:
    """Set this process up as a child: to be called first, before numpy is imported.

    It ignores the signals of a terminal and of systemd, which would end it before the gateway has drained; it ends
    with its parent even when it is stopped; it computes on one thread and leaves no core file.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_with_parent()
    forbid_core_files()
    use_one_thread()


def use_one_thread(*, unless_set: bool = False) -> None:
    """Keep numerical libraries from starting thread pools; they read this when they are loaded.

    Args:
        unless_set: leave alone what the user has set.
    """
    for name in _THREADS:
        if not (unless_set and name in os.environ):
            os.environ[name] = "1"


def forbid_core_files() -> None:
    """Keep people's audio out of core files, which hold a process's memory.

    One byte, not none: Linux takes that as a reason to start no program in `core_pattern` either.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (1, 1))


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent ends; elsewhere than on Linux the end of the pipe does."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended meanwhile
        os._exit(0)


def return_free_memory() -> None:
    """Let the C library of GNU return the pages that it keeps for later; another does nothing.

    It frees some 14 MiB after loading a model and 20 to 60 MiB after windows of 20 s, in milliseconds.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def watch_for_signals() -> None:
    """Begin to tell signals from outside apart; call this before any other thread is started, which inherits it.

    A crash is held against the audio that a worker was looking at. `kill -SEGV` is no evidence, but a process that it
    has ended looks the same. So the signals of faults are blocked in every thread. That does not save a process from
    its own fault: the kernel ends it at once by a blocked signal that it raises itself. One that another process has
    sent waits for a thread of its own, which ends the worker with SIGKILL, a kill from outside to the gateway.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, FAULTS)
    threading.Thread(target=_end_by_signal, name="signals", daemon=True).start()


def _end_by_signal() -> None:
    """Wait for a signal from outside, and end the process (watching thread)."""
    while True:
        sent = signal.sigwaitinfo(FAULTS)
        if sent.si_pid == os.getpid():  # sent to itself: as good as a fault
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [sent.si_signo])
            os.kill(os.getpid(), sent.si_signo)
        else:
            os.kill(os.getpid(), signal.SIGKILL)
