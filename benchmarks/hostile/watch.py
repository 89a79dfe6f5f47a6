"""The gateway from outside while it is attacked: memory, descriptors, shared memory, and what its log says.

Runs on the judge's event loop; reads `/proc` and `/dev/shm`, asks the server nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

MEBIBYTE = 1024 * 1024
MOST_MEMORY_MIB = 1_500.0  # where an attack is broken off: it has shown what it can, and the machine is shared
_EVERY_SECONDS = 0.25
_SHARED = Path("/dev/shm")


@dataclass(slots=True)
class Peaks:
    """The most that was seen: MiB, open files, MiB of decoded uploads, living decoders."""

    memory_mib: float = 0.0
    files: int = 0
    shared_mib: float = 0.0
    decoders: int = 0


async def watch(pid: int, peaks: Peaks) -> None:
    """Look at the gateway until cancelled, or until it holds more than `MOST_MEMORY_MIB`."""
    while peaks.memory_mib < MOST_MEMORY_MIB:
        look(pid, peaks)
        await asyncio.sleep(_EVERY_SECONDS)


def look(pid: int, peaks: Peaks) -> None:
    """Bring the peaks up to date."""
    peaks.memory_mib = max(peaks.memory_mib, peak_memory_mib(pid))
    peaks.files = max(peaks.files, open_files(pid))
    peaks.shared_mib = max(peaks.shared_mib, shared_mib(pid))
    peaks.decoders = max(peaks.decoders, len(decoders(pid)))


def peak_memory_mib(pid: int) -> float:
    """The most resident memory that a process has had so far; 0 of one that has ended."""
    with contextlib.suppress(OSError, StopIteration):
        rows = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        return next(int(row.split()[1]) for row in rows if row.startswith("VmHWM:")) / 1024
    return 0.0


def open_files(pid: int) -> int:
    with contextlib.suppress(OSError):
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return 0


def shared_mib(pid: int) -> float:
    """Memory of the segments that a gateway has made and not removed."""
    blocks = 0
    for path in _SHARED.glob(f"gigastt-{pid}-*"):
        with contextlib.suppress(OSError):
            blocks += path.stat().st_blocks
    return blocks * 512 / MEBIBYTE


def decoders(pid: int) -> list[int]:
    """The living decoder processes of a gateway, whoever of its children started them."""
    found: list[int] = []
    parents = [pid]
    while parents:
        parent = parents.pop()
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                for child in map(int, path.read_text(encoding="ascii").split()):
                    parents.append(child)
                    with contextlib.suppress(OSError):
                        if b"gigastt.gateway.files.decoder" in Path(f"/proc/{child}/cmdline").read_bytes():
                            found.append(child)
    return found


def tracebacks(log: Path) -> list[str]:
    """Return the last line of every traceback in a server's log, in JSON or in prose."""
    found: list[str] = []
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines):
        exception = ""
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            exception = event.get("exception", "") if isinstance(event, dict) else ""
        if exception:
            found.append(exception.strip().splitlines()[-1])
        elif "Traceback (most recent call last)" in line:
            found.append(next((text for text in lines[number + 1 :] if text and text[0] not in " |+"), line))
    return found
