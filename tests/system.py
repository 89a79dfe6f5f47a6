"""What the kernel says about processes."""

from __future__ import annotations

from pathlib import Path


def is_running(pid: int) -> bool:
    """Tell whether a process is there and has not ended, reaped or not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def children_of(pid: int, module: str) -> list[int]:
    """Return the processes that a process has started to run one of our modules."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [int(child) for child in children if module.encode() in _command_line(int(child))]


def core_limit(pid: int) -> int:
    """Return how many bytes of core file a process may leave; one means that not even a program is told of it."""
    limits = Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines()
    return int(next(line for line in limits if line.startswith("Max core file size")).split()[4])


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
