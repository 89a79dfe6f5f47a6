"""Files on the disk: a name always means complete content, and one process at a time writes a model's folder.

Blocking file access, from whichever thread or process calls.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gigastt.errors import DownloadFailed


@contextmanager
def exclusive(directory: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a folder for writing, made if need be; call `waiting` once if another process holds it.

    The lock is the kernel's, on a file `.lock` that stays: a killed process leaves none behind.

    Raises:
        DownloadFailed: the folder cannot be written, now or inside.
    """
    from filelock import FileLock, Timeout  # costs 60 ms, which a server's start does without

    lock = FileLock(directory / ".lock")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            waiting()
            lock.acquire()
    except OSError as exc:
        raise DownloadFailed(f"Cannot write to {directory}: {exc.strerror or exc}.") from exc
    try:
        yield
    except OSError as exc:
        raise DownloadFailed(f"Cannot use {directory}: {exc.strerror or exc}.") from exc
    finally:
        lock.release()


def rename_durably(source: Path, target: Path) -> None:
    """Give a complete file its name: content on the disk first, then the name, then the directory."""
    _sync(source)
    source.replace(target)
    _sync(target.parent)


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """Yield an empty file to write; at the end it takes the name `path`, and on an error it goes away."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name.lstrip('.')}-")
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(mode)
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
