"""Files on the disk: a name always means complete content, and one process at a time writes a model's folder.

A seal is the digest that a file had when it got its name, so that a start need not read 844 MB to trust it. They lie
beside the model files in `.seals.json`: {"files": {name: {"sha256", "size", "mtime_ns"}}}. A seal is written just
before the atomic rename that gives a verified file its name (a rename keeps size and time), and is good as long as both
still match; otherwise the file is read again. Files brought by hand have none until `download` has looked at them.

Blocking file access, from whichever thread or process calls.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from gigastt.errors import DownloadFailed

SEALS_FILE = ".seals.json"

SealState: TypeAlias = Literal["none", "good", "stale"]


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


@dataclass(frozen=True, slots=True)
class Seal:
    """A file's digest, and its size and time when that was taken."""

    sha256: str
    size: int
    mtime_ns: int


def sha256_of(path: Path) -> str:
    """Read a file once and return its SHA-256 in hex (0.5 to 2 s for 844 MB that are in memory)."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(path: Path, like: str) -> str:
    """Return a file's digest of the kind of another: SHA-256 (64 digits), or the one by which git knows it (40)."""
    if len(like) == 64:
        return sha256_of(path)
    content = path.read_bytes()  # git itself keeps small files only
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


class Seals:
    """The seals of one directory; the file is read again for every question, so that no copy grows old."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, name: str) -> Seal | None:
        """Return the seal of a file, good or stale."""
        return self._read().get(name)

    def state(self, name: str) -> SealState:
        """Tell whether a file still has the size and time that it was sealed with."""
        seal = self.get(name)
        if seal is None:
            return "none"
        stat = (self._directory / name).stat()
        return "good" if (stat.st_size, stat.st_mtime_ns) == (seal.size, seal.mtime_ns) else "stale"

    def put(self, name: str, sha256: str, file: Path | None = None) -> None:
        """Seal `name` with the size and time of `file` (default: the file of that name).

        Raises:
            OSError: the directory cannot be written.
        """
        stat = (file or self._directory / name).stat()
        self._write(self._read() | {name: Seal(sha256, stat.st_size, stat.st_mtime_ns)})

    def drop(self, name: str) -> None:
        """Forget a file that is going away."""
        seals = self._read()
        if seals.pop(name, None) is not None:
            self._write(seals)

    def _read(self) -> dict[str, Seal]:
        """Read the seals; none if the file is missing or damaged (digests are then taken again)."""
        try:
            files = json.loads((self._directory / SEALS_FILE).read_bytes())["files"]
            return {str(name): Seal(**fields) for name, fields in files.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}

    def _write(self, seals: dict[str, Seal]) -> None:
        content = {"files": {name: asdict(seal) for name, seal in sorted(seals.items())}}
        write_atomically(self._directory / SEALS_FILE, json.dumps(content, indent=1).encode() + b"\n")
