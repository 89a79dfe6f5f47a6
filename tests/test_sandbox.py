"""The sandbox: what it takes away, and what it says where it cannot."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from gigastt import sandbox
from tests.shared import do_without


def run_inside(code: str) -> str:
    """Run code in a process that has entered the sandbox, with its output kept; return what it wrote."""
    script = f"import os, sys, threading\nfrom gigastt import sandbox\nsandbox.enter(())\n{code}"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout


def test_this_machine_filters_calls() -> None:
    if (reason := sandbox.missing()) is not None:
        do_without(reason)


@pytest.mark.slow
def test_a_process_can_still_compute_and_write() -> None:
    assert run_inside("os.write(1, b'%d' % len(bytes(1 << 24)))\nos._exit(0)") == str(1 << 24)


@pytest.mark.slow
def test_calls_that_are_not_listed_fail_and_do_not_kill() -> None:
    code = (
        "try: os.open('/', os.O_RDONLY)\n"
        "except PermissionError: os.write(1, b'no file')\n"
        "try: os.kill(os.getppid(), 0)\n"
        "except OSError: os.write(1, b', no process')\n"
        "os._exit(0)"
    )
    assert run_inside(code) == "no file, no process"


@pytest.mark.slow
def test_descriptors_that_are_not_kept_are_closed() -> None:
    code = (
        "import os\n"
        "from gigastt import sandbox\n"
        "kept, lost = os.pipe()\n"
        "sandbox.enter((kept,))\n"
        "os.read(kept, 1)  # its other end is closed\n"
        "try: os.write(lost, b'x')\n"
        "except OSError as exc: os.write(1, exc.strerror.encode())\n"
        "os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=10)
    assert done.stdout == "Bad file descriptor"


def test_an_unknown_processor_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert "riscv64" in str(sandbox.missing())


@pytest.mark.slow
def test_limits_hold_where_calls_cannot_be_filtered() -> None:
    code = (
        "import os, platform, socket\n"
        "from gigastt import sandbox\n"
        "platform.machine = lambda: 'riscv64'\n"
        "sandbox.enter(())\n"
        "for attempt in (lambda: open('/etc/passwd'), socket.socket, socket.socketpair, os.pipe):\n"
        "    try: attempt()\n"
        "    except OSError as exc: os.write(1, b'%d ' % exc.errno)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=10)
    assert done.stdout == "24 24 24 24 "  # EMFILE


def test_numbers_of_calls_are_those_of_the_kernel_on_both_processors() -> None:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        do_without("needs libseccomp2, which knows the numbers of all processors")
    for name, numbers in sandbox._CALLS.items():
        for machine, number in zip((sandbox._X86_64, sandbox._AARCH64), numbers, strict=True):
            assert library.seccomp_syscall_resolve_name_arch(ctypes.c_uint32(machine), name.encode()) == number, name
