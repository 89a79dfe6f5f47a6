"""The spool: the recordings of jobs that have not ended, as files, within a quota.

    DIR/lock            held by the server that uses the folder
    DIR/jobs.sqlite3    what is known of the jobs (`store`)
    DIR/audio/ID        a recording; `ID.part` while it comes

Where keys are asked, one owner holds at most half of the quota.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Hashable, Iterable
from pathlib import Path
from typing import Final, TextIO

from gigastt.errors import ConfigError, JobsFull

_PIECE_BYTES: Final = 4 * 1024 * 1024
SPOOL_RETRY_MS: Final = 60_000


class SpooledBody:
    """A recording that is open for decoding.

    client: of all jobs together, for shares.
    """

    client: Hashable = "jobs"

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def open(self) -> int:
        return self._descriptor

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class Spool:
    """The recordings of one folder.

    Raises:
        ConfigError: it cannot be written to, or another server uses it.
    """

    def __init__(self, folder: Path, quota_bytes: int) -> None:
        self._audio = folder / "audio"
        self._quota = quota_bytes
        self._held: Counter[str] = Counter()
        try:
            self._audio.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
            self._lock: TextIO = (folder / "lock").open("w")
        except OSError as exc:
            raise ConfigError(f"--jobs-dir: cannot write to {folder}: {exc.strerror}.") from exc
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            self._lock.close()
            raise ConfigError(f"--jobs-dir: another server uses {folder}.") from exc

    @property
    def held_bytes(self) -> int:
        """Bytes of all recordings, those of speakers among them."""
        return self._held.total()

    def close(self) -> None:
        """Let another server have the folder."""
        self._lock.close()

    def take_stock(self, known: Iterable[tuple[str, str, int]]) -> set[str]:
        """Count the recordings of known jobs (id, owner, bytes), and remove all else; return the ids that are here."""
        here = {path.name for path in self._audio.iterdir()}
        wanted = {id: (owner, size) for id, owner, size in known if id in here and size}
        for name in here - wanted.keys():
            (self._audio / name).unlink()
        for owner, size in wanted.values():
            self._held[owner] += size
        return set(wanted)

    async def keep(self, id: str, owner: str, pieces: AsyncIterator[bytes], limit: int) -> int:
        """Write a recording; return its bytes. What is not whole leaves nothing behind.

        Raises:
            JobsFull: the quota or the disk is full.
            Oversized: there are more than `limit` bytes.
        """
        unfinished = self._audio / f"{id}.part"
        size = 0
        try:
            with unfinished.open("xb", buffering=0) as file:
                async for piece in pieces:
                    if size + len(piece) > limit:
                        raise Oversized
                    self.hold(owner, len(piece))
                    size += len(piece)
                    await asyncio.to_thread(_write, file.fileno(), piece)
                await asyncio.to_thread(os.fsync, file.fileno())
            unfinished.replace(self._audio / id)
        except BaseException as exc:
            self.give_back(owner, size)
            unfinished.unlink(missing_ok=True)
            if isinstance(exc, OSError):
                raise JobsFull("The disk of the jobs is full or broken.", retry_after_ms=SPOOL_RETRY_MS) from exc
            raise
        return size

    def remove(self, id: str, owner: str, size: int) -> None:
        """Remove a recording, if it is there."""
        path = self._audio / id
        if path.exists():
            path.unlink()
            self.give_back(owner, size)

    def open(self, id: str) -> SpooledBody:
        """Open a recording. Raises OSError: it is gone."""
        return SpooledBody(self._audio / id)

    def hold(self, owner: str, size: int, *, is_kept: bool = False) -> None:
        """Count bytes in, before they are written, or those that are kept already.

        Raises:
            JobsFull: there is no room for them; nothing is counted.
        """
        self._held[owner] += size
        most = self._quota // 2 if owner else self._quota
        if not is_kept and (self._held[owner] > most or self._held.total() > self._quota):
            whose = "Your jobs hold" if self._held.total() <= self._quota else "Jobs hold"
            self.give_back(owner, size)
            raise JobsFull(f"{whose} all the room for recordings that they may.", retry_after_ms=SPOOL_RETRY_MS)

    def give_back(self, owner: str, size: int) -> None:
        """Count bytes out."""
        self._held[owner] -= size
        if self._held[owner] <= 0:
            del self._held[owner]


class Oversized(Exception):
    """A recording is longer than it may be."""


def new_job_id() -> str:
    """Return a name for a job that nobody can guess."""
    return secrets.token_hex(16)


async def pieces_of(descriptor: int) -> AsyncIterator[bytes]:
    """Yield a whole file in pieces."""
    place = 0
    while piece := os.pread(descriptor, _PIECE_BYTES, place):
        place += len(piece)
        yield piece


def _write(descriptor: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]
