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
_LOOK_SECONDS = 0.2


@contextmanager
def exclusive(directory: Path, progress: DownloadProgress) -> Iterator[None]:
    """Hold the directory for writing; wait for another process that does, and say so in `progress`.

    Raises:
        DownloadFailed: the directory cannot be written, or the wait was cancelled.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(directory / LOCK_FILE)
        _acquire(lock, progress)
    except OSError as exc:
        raise DownloadFailed(f"Cannot write to {directory}: {exc.strerror or exc}.") from exc
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, progress: DownloadProgress) -> None:
    try:
        lock.acquire(timeout=0)
        return
    except Timeout:
        progress.begin("waiting")
    while True:
        progress.check_cancelled()
        try:
            lock.acquire(timeout=_LOOK_SECONDS, poll_interval=_LOOK_SECONDS / 4)
            return
        except Timeout:
            continue
