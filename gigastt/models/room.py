"""Room: the disk and memory that each step takes, and whether they are free here.

The only place that knows these figures. Memory is known on Linux only; elsewhere nothing is refused for it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gigastt.errors import NotEnoughRoom

MIB = 2**20
SPARE_BYTES = 64 * MIB  # left free on purpose: logs and other people's files live there too
SMALLEST_PREPACKED = 64 * MIB  # of a smaller encoder, a worker's private copy costs less than the trouble

# Peaks over the size of the encoder at hand, as measured.
_OPTIMIZED_SIZE = 0.27
_OPTIMIZING_MEMORY = 4.2  # 4.17 for cards, 3.8 for this processor
_PREPACKED_SIZE = 2.0  # plain and prepacked weights: 1.93 for int8, 1.85 for fp32
_PREPACKING_MEMORY = 2.5  # 2.3 and 2.0


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes that a step takes at its peak; the purpose and the way on without are for people."""

    disk: int = 0
    memory: int = 0
    purpose: str = ""
    instead: str = ""


def needs_of(encoder_bytes: int, *, optimizing: bool, besides: int = 0) -> Needs:
    """Return what making an encoder of this size fast takes, besides the file itself.

    Args:
        optimizing: it is an fp32 encoder and becomes int8 first; then that one is prepacked.
        besides: bytes of disk that something else takes meanwhile.
    """
    packed = int(encoder_bytes * _OPTIMIZED_SIZE) if optimizing else encoder_bytes
    prepacked = int(packed * _PREPACKED_SIZE) if packed >= SMALLEST_PREPACKED else 0
    if optimizing:
        return Needs(
            packed + prepacked + besides,
            int(encoder_bytes * _OPTIMIZING_MEMORY),
            "Optimising the encoder",
            "Use `--precision int8` (the published int8 files, as they are), or optimise on another machine and copy "
            "the files.",
        )
    return Needs(
        prepacked + besides,
        int(packed * _PREPACKING_MEMORY) if prepacked else 0,
        "Laying out the encoder's weights for all workers",
        "Free some, or do this on another machine and copy the files.",
    )


def free_disk(directory: Path) -> int:
    """Return the bytes an ordinary user may still write below a directory, which need not exist yet."""
    while not directory.exists():
        directory = directory.parent
    return shutil.disk_usage(directory).free


def free_memory(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the bytes that can be had without swapping, here or in this container; None if the system does not tell.

    File pages that the container (control group version 2) can drop count as free.
    """
    try:
        machine = _find_number(r"^MemAvailable:\s+(\d+) kB", meminfo) * 1024
    except (OSError, ValueError):
        return None
    try:
        limit = _find_number(r"^(\d+)$", cgroup / "memory.max")  # the word `max` is none
        used = _find_number(r"^(\d+)$", cgroup / "memory.current")
        droppable = _find_number(r"^inactive_file (\d+)", cgroup / "memory.stat")
    except (OSError, ValueError):
        return machine
    return min(machine, max(0, limit - used + droppable))


def _find_number(pattern: str, path: Path) -> int:
    match = re.search(pattern, path.read_text("ascii"), re.MULTILINE)
    if match is None:
        raise ValueError(f"Expected {pattern} in {path}.")
    return int(match[1])


@dataclass(frozen=True, slots=True)
class FreeRoom:
    """The free disk and memory of this machine."""

    disk: Callable[[Path], int] = free_disk
    memory: Callable[[], int | None] = free_memory

    def require(self, folder: Path, needs: Needs) -> None:
        """Check that a step can be made in a folder.

        Raises:
            NotEnoughRoom: it cannot; the message has both numbers.
        """
        disk, memory, needed = self.disk(folder), self.memory(), needs.disk + SPARE_BYTES
        if needs.disk and disk < needed:
            raise NotEnoughRoom(
                f"Not enough disk space in {folder}: {in_bytes(needed)} are needed, {in_bytes(disk)} are free. "
                "Free some, or choose another `--model-dir`."
            )
        if memory is not None and memory < needs.memory:
            raise NotEnoughRoom(
                f"{needs.purpose} needs {in_bytes(needs.memory, 'bytes of memory')}, and {in_bytes(memory)} are free. "
                f"{needs.instead}"
            )


THIS_MACHINE = FreeRoom()


def in_mib(size: int) -> str:
    """Return a number of bytes as people read it: `844 MiB`."""
    return f"{size / MIB:,.0f} MiB" if size >= 10 * MIB else f"{size / MIB:,.1f} MiB"


def in_bytes(size: int, unit: str = "bytes") -> str:
    """Return a number of bytes exactly, and as people read it."""
    return f"{size:,} {unit} ({in_mib(size)})"
