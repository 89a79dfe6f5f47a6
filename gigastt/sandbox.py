"""The sandbox: rights that a process gives up before it looks at bytes that a stranger has sent.

    close_descriptors ──► limit descriptors and processes to none ──► no new privileges ──► system calls by a list

After `enter` a process computes, and reads, writes and maps the files it holds already. It opens no file and no
socket, starts no program and no thread, and reaches no other process. The list of system calls is a seccomp filter of
some thirty instructions, written here and handed to the kernel by `prctl`: it needs no library that a system may lack.
A call that is not on the list fails with EPERM. `missing` says where the kernel or the processor has no such filter;
the limits hold there all the same.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import struct
import sys
from collections.abc import Collection
from functools import cache
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38  # linux/prctl.h
_SECCOMP_MODE_FILTER = 2  # linux/seccomp.h
_RET_KILL, _RET_EPERM, _RET_ALLOW = 0x80000000, 0x00050000 | errno.EPERM, 0x7FFF0000
_NUMBER_OFFSET, _MACHINE_OFFSET = 0, 4  # in struct seccomp_data
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h

_X86_64, _AARCH64 = 0xC000003E, 0xC00000B7  # AUDIT_ARCH_* of linux/audit.h
_MACHINES: Final = {"x86_64": (_X86_64, 0), "aarch64": (_AARCH64, 1)}
_CALLS: Final = {  # name: (number on x86-64, number on ARM); the kernel never changes them
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "setitimer": (38, 103),
    "exit": (60, 93),
    "gettimeofday": (96, 169),
    "futex": (202, 98),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "exit_group": (231, 94),
    "fallocate": (285, 47),
    "getrandom": (318, 278),
}


class _Program(ctypes.Structure):
    """struct sock_fprog of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def missing() -> str | None:
    """Say why this system cannot filter the system calls of a process; None where it can. Changes nothing."""
    if sys.platform != "linux":
        return "only Linux filters system calls"
    if _machine() not in _MACHINES:
        return f"the list of system calls is known for {' and '.join(_MACHINES)}, not for {platform.machine()}"
    try:
        _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, 0)  # no filter: EFAULT where the kernel would have read one
    except OSError as exc:
        if exc.errno != errno.EFAULT:
            return "the kernel, or a container's rules, offer no filter of system calls (CONFIG_SECCOMP_FILTER)"
    return None


def prepare() -> None:
    """Compute what `enter` needs, in a process whose children will call it: half of its time."""
    if missing() is None:
        _assemble()


def enter(keep: Collection[int]) -> None:
    """Give up everything but computing and the descriptors in `keep` and 0 to 2, for good.

    Call it in a process with one thread, when everything it will need is imported.

    Raises:
        OSError: the kernel refuses; what was given up until then stays so.
    """
    _close_descriptors({0, 1, 2, *keep})
    forbid_new_privileges()
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    if missing() is None:
        instructions = _assemble()
        program = _Program(len(instructions) // 8, instructions)
        _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program))


def forbid_new_privileges() -> None:
    """Let no program that this process or its children start gain more rights than they have; Linux only."""
    if sys.platform == "linux":
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _close_descriptors(keep: set[int]) -> None:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    begin = 0
    for descriptor in [*sorted(keep), most]:
        if begin < descriptor:  # an empty range would be taken for all there are
            os.closerange(begin, descriptor)
        begin = descriptor + 1


@cache
def _assemble() -> bytes:
    """Return the filter: instructions of 8 bytes (code, jump if true, jump if false, operand)."""
    machine, column = _MACHINES[_machine()]
    numbers = [numbers[column] for numbers in _CALLS.values()]
    # load machine │ is it ours? else kill │ load number │ is it the 1st? │ … │ is it the last? │ EPERM │ allow │ kill
    instructions = [(_LOAD, 0, 0, _MACHINE_OFFSET), (_JUMP_IF_EQUAL, 0, len(numbers) + 3, machine)]
    instructions.append((_LOAD, 0, 0, _NUMBER_OFFSET))
    instructions += [(_JUMP_IF_EQUAL, len(numbers) - i, 0, number) for i, number in enumerate(numbers)]
    instructions += [(_RETURN, 0, 0, answer) for answer in (_RET_EPERM, _RET_ALLOW, _RET_KILL)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def _machine() -> str:
    """Return the processor as seen by this process: a 32-bit one on a 64-bit kernel has other numbers."""
    return platform.machine() if sys.maxsize > 2**32 else f"32 bits on {platform.machine()}"


def _prctl(option: int, *arguments: int) -> None:
    words = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    if _LIBC.prctl(ctypes.c_int(option), *words):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
