"""One file's way onto the disk: received into a part file, resumed as often as it takes, named when it is right.

    .partial/NAME.DIGEST16.part  →  checked against the SHA-256  →  fsync  →  sealed  →  renamed to NAME

The digest is taken from what lies on the disk, after the last byte has come, so a part left by a killed process
needs no trust. A part with a wrong digest is thrown away and fetched once more from its first byte.

Blocking; runs in the process that holds the directory's lock.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from gigastt.errors import DownloadFailed, NotEnoughRoom
from gigastt.models.disk import FreeBytes, mib, rename_durably
from gigastt.models.hub import Hub, LineBroken, PartTooLong
from gigastt.models.progress import DownloadProgress
from gigastt.models.seals import Seals, sha256_of
from gigastt.models.store import PARTIAL_FOLDER


@dataclass(frozen=True, slots=True)
class Patience:
    """How often to try again when nothing at all arrives, and how long to wait between; any byte starts anew."""

    attempts: int = 6
    first_pause: float = 0.5
    longest_pause: float = 15.0

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        return min(self.longest_pause, self.first_pause * 2.0 ** (failures - 1))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that must be fetched, and what it must be."""

    name: str
    size: int
    sha256: str
    local: Path | None = None  # the same content elsewhere on this machine


class Transfer:
    """Fetch files of one model into one directory.

    Args:
        folder: where files get their names; this process holds its lock.
        free: tells free bytes; looked at again when the disk turns out to be full.
    """

    def __init__(
        self,
        hub: Hub,
        folder: Path,
        progress: DownloadProgress,
        patience: Patience,
        free: FreeBytes,
    ) -> None:
        self._hub = hub
        self._folder = folder
        self._progress = progress
        self._patience = patience
        self._free = free

    def part(self, name: str, sha256: str) -> Path:
        """Where a file grows. The digest in the name keeps two versions of a file apart."""
        return self._folder / PARTIAL_FOLDER / f"{name}.{sha256[:16]}.part"

    def arrived(self, wanted: Wanted) -> int:
        """Bytes of a file that earlier downloads have left."""
        part = self.part(wanted.name, wanted.sha256)
        return min(part.stat().st_size, wanted.size) if part.exists() else 0

    def fetch(self, wanted: Wanted) -> None:
        """Bring one file to its final name, with exactly the wanted content.

        Raises:
            DownloadFailed: it could not be had; what has arrived is kept unless it was wrong.
            NotEnoughRoom: the disk is full.
        """
        part = self.part(wanted.name, wanted.sha256)
        self._progress.turn_to(wanted.name)
        try:
            part.parent.mkdir(exist_ok=True)
            self._fetch(wanted, part)
        except OSError as exc:
            if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise DownloadFailed(f"Cannot write {wanted.name} to {self._folder}: {exc.strerror}.") from exc
            needed = wanted.size - self.arrived(wanted)
            raise NotEnoughRoom(
                f"The disk with {self._folder} is full: {needed:,} more bytes ({mib(needed)}) are needed for "
                f"{wanted.name}, {self._free(self._folder):,} are free. What has arrived is kept."
            ) from exc

    def _fetch(self, wanted: Wanted, part: Path) -> None:
        if wanted.local is not None:
            shutil.copyfile(wanted.local, part)
            self._progress.advance(wanted.size)
        digest = ""
        for _ in range(2):
            self._receive(wanted, part)
            digest = sha256_of(part)
            if digest == wanted.sha256:
                Seals(self._folder).put(wanted.name, digest, part)
                rename_durably(part, self._folder / wanted.name)
                return
            self._progress.advance(-part.stat().st_size)
            part.unlink()
        raise DownloadFailed(
            f"What {self._hub.endpoint} sends as {wanted.name} is not that file: expected SHA-256 {wanted.sha256}, "
            f"but got {digest}. It was thrown away. Try again, or another `--mirror`."
        )

    def _receive(self, wanted: Wanted, part: Path) -> None:
        """Fill the part file up to its full length, over as many connections as it takes."""
        part.touch()
        have, failures = part.stat().st_size, 0
        while have != wanted.size:
            if failures:
                time.sleep(self._patience.pause(failures))
            before, cause = have, "the answer ended early"
            try:
                self._receive_once(wanted, part)
            except LineBroken as exc:
                cause = str(exc)
                if isinstance(exc, PartTooLong):
                    self._truncate(part)
            have = part.stat().st_size
            failures = 1 if have > before else failures + 1
            if have != wanted.size and failures >= self._patience.attempts:
                raise DownloadFailed(
                    f"Cannot fetch {wanted.name} from {self._hub.endpoint}: {cause}. {mib(have)} of "
                    f"{mib(wanted.size)} have arrived and are kept: the next download goes on there. "
                    "If the line stays bad, try another `--mirror`."
                )

    def _receive_once(self, wanted: Wanted, part: Path) -> None:
        """Receive over one connection what it will give."""
        have = part.stat().st_size
        if have > wanted.size:
            have = self._truncate(part)
        with self._hub.open(wanted.name, have) as body, part.open("ab") as file:
            if body.offset not in (0, have):
                raise LineBroken(f"expected bytes from {have}, but got them from {body.offset}")
            if body.total not in (None, wanted.size):
                raise LineBroken(f"expected a file of {wanted.size:,} bytes, but got one of {body.total:,} bytes")
            if body.offset != have:
                have = self._truncate(part)
            for block in body.blocks:
                have += len(block)
                if have > wanted.size:
                    raise PartTooLong(f"expected a file of {wanted.size:,} bytes, but got a longer one")
                file.write(block)
                self._progress.advance(len(block))

    def _truncate(self, part: Path) -> int:
        """Throw away what a part file holds; return its new length."""
        size = part.stat().st_size
        os.truncate(part, 0)
        self._progress.advance(-size)
        return 0
