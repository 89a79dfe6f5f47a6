"""One file's way onto the disk: received into a part file, resumed as often as it takes, named when it is right.

    .partial/NAME.DIGEST16.part  →  checked against the SHA-256  →  fsync  →  sealed  →  renamed to NAME

The digest is taken from the file on the disk, after the last byte has come, so a part left by a killed process
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
from gigastt.models.disk import Seals, digest_of, rename_durably, sha256_of
from gigastt.models.hub import Hub, LineBroken, PartTooLong, RemoteState
from gigastt.models.room import FreeRoom, in_bytes, in_mib
from gigastt.models.stages import DownloadProgress
from gigastt.models.store import PARTIAL_FOLDER


@dataclass(frozen=True, slots=True)
class Retries:
    """How often to try again when nothing at all arrives, and how long to wait between; any byte starts anew."""

    attempts: int = 6
    first_pause: float = 0.5
    longest_pause: float = 15.0

    def wait(self, failures: int) -> None:
        """Sleep after so many failures in a row."""
        time.sleep(min(self.longest_pause, self.first_pause * 2.0 ** (failures - 1)))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that must be fetched, with its size and digest."""

    name: str
    size: int
    digest: str  # of the kind that the hub or the catalogue tells
    local: Path | None = None  # the same content elsewhere on this machine


@dataclass(frozen=True, slots=True)
class Transfer:
    """Fetches files of one model into one folder, whose lock this process holds."""

    hub: Hub
    folder: Path
    progress: DownloadProgress
    retries: Retries
    room: FreeRoom

    def look_up(self, name: str) -> RemoteState:
        """Ask the hub about a file, again while its failures may pass.

        Raises:
            DownloadFailed: they do not pass.
            LineBroken: they may, but every attempt failed.
        """
        self.progress.begin("contacting", self.hub.endpoint)
        failures, attempts = 0, self.retries.attempts
        while True:
            try:
                state = self.hub.look_up(name)
                break
            except LineBroken as exc:
                failures += 1
                if failures >= attempts:
                    raise
                self.progress.turn_to(f"{self.hub.endpoint} again, {failures + 1} of {attempts}: {exc}")
                self.retries.wait(failures)
        self.progress.begin("checking")
        return state

    def arrived(self, wanted: Wanted) -> int:
        """Return how many bytes of a file earlier downloads have left."""
        part = self._part(wanted)
        return min(part.stat().st_size, wanted.size) if part.exists() else 0

    def fetch(self, wanted: Wanted) -> None:
        """Bring one file to its final name, with exactly the wanted content.

        Raises:
            DownloadFailed: it could not be had; bytes that have arrived are kept unless they were wrong.
            NotEnoughRoom: the disk is full.
        """
        self.progress.turn_to(wanted.name)
        try:
            self._fetch(wanted, self._part(wanted))
        except OSError as exc:
            if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise DownloadFailed(f"Cannot write {wanted.name} to {self.folder}: {exc.strerror}.") from exc
            needed = in_bytes(wanted.size - self.arrived(wanted), "more bytes")
            raise NotEnoughRoom(
                f"The disk with {self.folder} is full: {needed} are needed for {wanted.name}, "
                f"{self.room.disk(self.folder):,} are free. What has arrived is kept."
            ) from exc

    def _part(self, wanted: Wanted) -> Path:
        """Return the part file of a file. The digest in its name keeps two versions of a file apart."""
        return self.folder / PARTIAL_FOLDER / f"{wanted.name}.{wanted.digest[:16]}.part"

    def _fetch(self, wanted: Wanted, part: Path) -> None:
        part.parent.mkdir(exist_ok=True)
        if wanted.local is not None:
            shutil.copyfile(wanted.local, part)
            self.progress.advance(wanted.size)
        digest = ""
        for _ in range(2):
            self._receive(wanted, part)
            digest = digest_of(part, wanted.digest)
            if digest == wanted.digest:
                Seals(self.folder).put(wanted.name, sha256_of(part), part)
                rename_durably(part, self.folder / wanted.name)
                return
            self._empty(part)
        part.unlink()
        raise DownloadFailed(
            f"What {self.hub.endpoint} sends as {wanted.name} is not that file: expected "
            f"{_kind_of(wanted.digest)} {wanted.digest}, but got {digest}. "
            "It was thrown away. Try again, or another `--mirror`."
        )

    def _receive(self, wanted: Wanted, part: Path) -> None:
        """Fill the part file up to its full length, over as many connections as it takes."""
        part.touch()
        have, failures = part.stat().st_size, 0
        if have > wanted.size:
            have = self._empty(part)
        while have != wanted.size:
            if failures:
                self.retries.wait(failures)
            before, cause = have, "the answer ended early"
            try:
                self._receive_once(wanted, part, have)
            except LineBroken as exc:
                cause = str(exc)
                if isinstance(exc, PartTooLong):
                    self._empty(part)
            have = part.stat().st_size
            failures = 1 if have > before else failures + 1
            if have != wanted.size and failures >= self.retries.attempts:
                raise DownloadFailed(
                    f"Cannot fetch {wanted.name} from {self.hub.endpoint}: {cause}. {in_mib(have)} of "
                    f"{in_mib(wanted.size)} have arrived and are kept: the next download goes on there. "
                    "If the line stays bad, try another `--mirror`."
                )

    def _receive_once(self, wanted: Wanted, part: Path, have: int) -> None:
        """Receive over one connection until it ends; the part holds `have` bytes."""
        with self.hub.open(wanted.name, have) as body, part.open("ab") as file:
            if body.offset not in (0, have):
                raise LineBroken(f"expected bytes from {have}, but got them from {body.offset}")
            if body.total not in (None, wanted.size):
                raise LineBroken(f"expected a file of {wanted.size:,} bytes, but got one of {body.total:,} bytes")
            if body.offset != have:
                have = self._empty(part)
            for block in body.blocks:
                have += len(block)
                if have > wanted.size:
                    raise PartTooLong(f"expected a file of {wanted.size:,} bytes, but got a longer one")
                file.write(block)
                self.progress.advance(len(block))

    def _empty(self, part: Path) -> int:
        """Empty a part file; return its new length, which is 0."""
        self.progress.advance(-part.stat().st_size)
        os.truncate(part, 0)
        return 0


def _kind_of(digest: str) -> str:
    return "SHA-256" if len(digest) == 64 else "git's SHA-1"
