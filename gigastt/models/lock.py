"""One download at a time in a directory, across processes.

The lock is the kernel's (`flock`), so a killed process leaves none behind; the empty `.lock` file stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gigastt.errors import DownloadFailed
from gigastt.models.progress import DownloadProgress

LOCK_FILE = ".lock"


@contextmanager
def exclusive(directory: Path, progress: DownloadProgress) -> Iterator[None]:
    """Hold the directory for writing; wait for another process that does, and say so in `progress`.

    Raises:
        DownloadFailed: the directory cannot be written.
    """
    lock = FileLock(directory / LOCK_FILE)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            progress.begin("waiting")
            lock.acquire()
    except OSError as exc:
        raise DownloadFailed(f"Cannot write to {directory}: {exc.strerror or exc}.") from exc
    try:
        yield
    finally:
        lock.release()
