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
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio.subprocess

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def python_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this package in a child, from anywhere."""
    return [sys.executable, "-P", "-m", module, *arguments]


async def spawn_child(
    command: Callable[[int], Sequence[str]], *, stdout: int | None = None
) -> tuple[asyncio.subprocess.Process, socket.socket]:
    """Start a child that talks over a socket pair; return it and our end, non-blocking.

    Call this from the main thread only: `prepare_child` ends the child with the thread that started it.

    Args:
        command: the argument vector, given the descriptor that the child inherits.
        stdout: as for `subprocess.Popen`.

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
                pass_fds=(theirs.fileno(),),
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
