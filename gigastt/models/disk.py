"""Writing files so that a name always means complete content, and looking before whether they will fit.

Blocking file access, from whichever thread or process calls. Knows nothing about models.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from gigastt.errors import NotEnoughRoom

FreeBytes: TypeAlias = Callable[[Path], int]

SPARE_BYTES = 64 * 1024 * 1024  # left free on purpose: logs and other people's files live there too


def free_bytes(directory: Path) -> int:
    """Bytes an ordinary user may still write below a directory that exists or whose parent does."""
    existing = directory
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def require_space(directory: Path, needed: int, free: FreeBytes = free_bytes) -> None:
    """Check that `needed` bytes and a little more fit.

    Raises:
        NotEnoughRoom: they do not; the message has both numbers.
    """
    available = free(directory)
    if needed and available < needed + SPARE_BYTES:
        raise NotEnoughRoom(
            f"Not enough disk space in {directory}: {needed + SPARE_BYTES:,} bytes ({mib(needed + SPARE_BYTES)}) are "
            f"needed, {available:,} bytes ({mib(available)}) are free. Free some, or choose another `--model-dir`."
        )


def mib(size: int) -> str:
    """Bytes for people."""
    return f"{size / 2**20:,.0f} MiB" if size >= 10 * 2**20 else f"{size / 2**20:,.1f} MiB"


def rename_durably(source: Path, target: Path) -> None:
    """Give a complete file its name: content on the disk first, then the name, then the directory."""
    _sync(source)
    os.replace(source, target)  # noqa: PTH105 - the atomic one, by its own name
    _sync(target.parent)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield an empty file to write; at the end it takes the name `path`, and on an error it goes away."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name.lstrip('.')}-")
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        rename_durably(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a small file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
