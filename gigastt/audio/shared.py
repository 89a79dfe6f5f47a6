"""Shared segments: whole files of PCM in named shared memory, between gateway, decoder and workers.

    /dev/shm/gigastt-<pid>-<random>
    ┌──────────┬──────────┬─────┬────────────┬──────────────────────────┐
    │ sample 0 │ sample 1 │  …  │ sample n-1 │ reserved, not written    │   int16 little-endian, 16 kHz, mono
    └──────────┴──────────┴─────┴────────────┴──────────────────────────┘

There is no header: `n` travels in messages. The gateway creates a segment and removes it; the decoder's
process is handed the open file and writes; workers map it read-only. The creator holds a lock (flock) on
the file for as long as it lives, so a segment nobody has locked belongs to a dead process, even where
process ids are reused or seen from another container. Space is reserved before it is written: a full
/dev/shm is an error here, never a SIGBUS.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import re
import secrets
import stat
from pathlib import Path

import numpy as np

from gigastt.audio.pcm import Samples
from gigastt.errors import CapacityTimeout, GigasttError

SHARED_MEMORY = Path("/dev/shm")
_PREFIX = "gigastt-"
_NAME = re.compile(r"gigastt-\d+-[0-9a-f]{16}")
_FIRST_STEP_BYTES, _STEP_BYTES = 256 * 1024, 4 * 1024 * 1024  # the kernel clears what is reserved
_RETRY_AFTER_MS = 5_000


class SharedSegment:
    """One file's samples in shared memory."""

    def __init__(self, name: str, descriptor: int, directory: Path) -> None:
        self.name = name
        self._descriptor = descriptor
        self._path = directory / name
        self._written = 0
        self._reserved = 0

    @classmethod
    def create(cls, owner_pid: int | None = None, directory: Path = SHARED_MEMORY) -> SharedSegment:
        """Create an empty segment and hold its lock.

        Raises:
            CapacityTimeout: there is no room for even an empty file.
        """
        while True:
            name = f"{_PREFIX}{owner_pid or os.getpid()}-{secrets.token_hex(8)}"
            try:
                descriptor = os.open(directory / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except FileExistsError:
                continue
            except OSError as exc:
                raise _no_room(exc) from exc
            # Another process's `remove_leftovers` may look between these two calls: then begin again.
            if _lock(descriptor) and os.fstat(descriptor).st_nlink:
                return cls(name, descriptor, directory)
            os.close(descriptor)

    @classmethod
    def attach(cls, name: str, *, writable: bool = False, directory: Path = SHARED_MEMORY) -> SharedSegment:
        """Open a segment that another process made.

        Raises:
            FileNotFoundError: it is gone, or the name is not a segment's.
        """
        if not _NAME.fullmatch(name):
            raise FileNotFoundError(errno.ENOENT, "Expected the name of a segment", name)
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC | os.O_NOFOLLOW
        return cls(name, os.open(directory / name, flags), directory)

    @classmethod
    def adopt(cls, descriptor: int) -> SharedSegment:
        """Write to a segment whose open file another process has handed over; it can be neither found nor removed."""
        return cls("", descriptor, Path(os.devnull))

    @property
    def descriptor(self) -> int:
        """The open file, to be handed to a process that writes."""
        return self._descriptor

    @property
    def size(self) -> int:
        """Bytes written and reserved, by whatever process."""
        return os.fstat(self._descriptor).st_size

    def append(self, samples: Samples) -> None:
        """Write samples behind those this object has written before.

        Raises:
            CapacityTimeout: shared memory is full.
        """
        view = memoryview(samples.astype("<i2", copy=False).tobytes())
        self._reserve(self._written + len(view))
        while view:
            count = os.pwrite(self._descriptor, view, self._written)
            self._written += count
            view = view[count:]

    def map(self, samples: int) -> Samples:
        """Return a read-only view of the first samples; it stays valid after `close` and `unlink`.

        Raises:
            ValueError: the segment holds fewer.
        """
        if samples * 2 > self.size:
            raise ValueError(f"Expected at least {samples} samples in the segment.")
        if samples == 0:
            return np.zeros(0, dtype=np.int16)
        mapping = mmap.mmap(self._descriptor, samples * 2, prot=mmap.PROT_READ)
        return np.frombuffer(mapping, dtype="<i2")

    def trim(self, samples: int) -> None:
        """Give back the space reserved beyond the first samples."""
        if self.size > samples * 2:
            os.ftruncate(self._descriptor, samples * 2)

    def close(self) -> None:
        """Close the file (and, in its creator, let go of the lock). Mapped views stay valid."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def unlink(self) -> None:
        """Remove the name and close: the memory is free when the last process has let go of it."""
        self._path.unlink(missing_ok=True)
        self.close()

    def __enter__(self) -> SharedSegment:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _reserve(self, size: int) -> None:
        if size <= self._reserved:
            return
        step = _STEP_BYTES if self._reserved else _FIRST_STEP_BYTES
        target = -(-size // step) * step
        try:
            os.posix_fallocate(self._descriptor, self._reserved, target - self._reserved)
        except OSError as exc:
            raise _no_room(exc) from exc
        self._reserved = target


def remove_leftovers(directory: Path = SHARED_MEMORY) -> int:
    """Remove the segments whose creators are dead; return how many they were.

    Everybody may write to /dev/shm: a link or a pipe under a segment's name is not followed, and left alone.
    """
    removed = 0
    for path in sorted(directory.glob(f"{_PREFIX}*")):
        if not _NAME.fullmatch(path.name):
            continue
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:  # gone meanwhile, or another user's
            continue
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode) and _lock(descriptor):
                path.unlink(missing_ok=True)
                removed += 1
        finally:
            os.close(descriptor)
    return removed


def _lock(descriptor: int) -> bool:
    """Take the lock of an open segment; False when somebody holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _no_room(cause: OSError) -> GigasttError:
    if cause.errno in (errno.ENOSPC, errno.ENOMEM, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.EDQUOT):
        return CapacityTimeout("The server has no room for this upload now.", retry_after_ms=_RETRY_AFTER_MS)
    return GigasttError("Shared memory refused a segment.")
