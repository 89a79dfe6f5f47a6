"""How much memory is free here, and whether it is enough. Linux only; elsewhere nothing is refused."""

from __future__ import annotations

import re
from pathlib import Path

from gigastt.errors import NotEnoughRoom
from gigastt.models.disk import mib

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def available_memory(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """Bytes that can still be had without swapping: the machine's or the container's, whichever is less.

    Returns:
        None where the system does not tell.
    """
    try:
        match = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text("ascii"), re.MULTILINE)
    except OSError:
        return None
    if match is None:
        return None
    machine = int(match.group(1)) * 1024
    container = _container_memory(cgroup)
    return machine if container is None else min(machine, container)


def _container_memory(cgroup: Path) -> int | None:
    """What the control group (version 2) still allows; file pages that can be dropped count as free."""
    try:
        limit = (cgroup / "memory.max").read_text("ascii").strip()
        used = int((cgroup / "memory.current").read_text("ascii"))
        match = re.search(r"^inactive_file (\d+)", (cgroup / "memory.stat").read_text("ascii"), re.MULTILINE)
    except (OSError, ValueError):
        return None
    if limit == "max":
        return None
    return max(0, int(limit) - used + (int(match.group(1)) if match else 0))


def require_memory(needed: int, purpose: str, available: int | None, instead: str) -> None:
    """Check that a step's memory can be had before the step begins.

    Args:
        needed: bytes at the peak.
        purpose: what needs it, as the beginning of a sentence.
        available: what `available_memory` said.
        instead: the way on without that memory, as a sentence.

    Raises:
        NotEnoughRoom: it cannot; the message has both numbers.
    """
    if available is not None and available < needed:
        raise NotEnoughRoom(
            f"{purpose} needs {needed:,} bytes of memory ({mib(needed)}), and {available:,} bytes "
            f"({mib(available)}) are free. {instead}"
        )
