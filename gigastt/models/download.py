"""Download a model: from whatever is on this machine to a complete, verified set of its files.

Blocking; the command line runs it in its own process, a server in a child process (`fetch`). Eight processes make one
transfer: seven wait for the directory's lock and then find everything there.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from gigastt.config import Precision
from gigastt.errors import DownloadFailed
from gigastt.models.catalog import CatalogEntry, RemoteFile
from gigastt.models.disk import Seals, digest_of, exclusive, sha256_of
from gigastt.models.hub import Hub, LineBroken, RemoteState
from gigastt.models.install import PREPARATION, Preparation, make_encoder
from gigastt.models.prepacked import plan_load
from gigastt.models.room import THIS_MACHINE, FreeRoom, Needs, needs_of
from gigastt.models.stages import DownloadProgress
from gigastt.models.store import PARTIAL_FOLDER, ModelFiles, choose_encoder, is_present, is_refused, resolve
from gigastt.models.transfer import Retries, Transfer, Wanted


@dataclass(frozen=True, slots=True)
class DownloadOptions:
    """How a model is downloaded and prepared.

    Attributes:
        preparation: makes the optimised encoder, and prepares loading and search.
        precision: `int8` takes the published int8 encoder as it is; `fp32` the fp32 one as it is;
            `auto` optimises the fp32 one and then removes it; `fp16` makes the one for cards and does likewise.
        mirror: address of a mirror of the hub; None for HF_ENDPOINT or the hub itself.
        keep_fp32: keep the fp32 encoder after optimising.
        optimize: make the optimised encoder, with `auto`; the one for cards is always made.
        timeout: seconds without an answer; None for huggingface-hub's own.
    """

    preparation: Preparation = PREPARATION
    precision: Precision = "auto"
    mirror: str | None = None
    keep_fp32: bool = False
    optimize: bool = True
    timeout: float | None = None
    retries: Retries = field(default_factory=Retries)
    room: FreeRoom = THIS_MACHINE


@dataclass(frozen=True, slots=True)
class Downloaded:
    """The complete set, the names of the files that were fetched for it, and the lines of a report."""

    files: ModelFiles
    fetched: tuple[str, ...]
    report: tuple[str, ...] = ()


def download_model(
    entry: CatalogEntry, model_dir: Path, options: DownloadOptions, progress: DownloadProgress | None = None
) -> Downloaded:
    """Make the files of a model complete, and return them.

    Raises:
        DownloadFailed: the hub, the way to it, or its answers are at fault; files that are right are kept.
        NotEnoughRoom: disk or memory do not suffice.
    """
    progress = progress or DownloadProgress()
    with exclusive(model_dir / entry.name, lambda: progress.begin("waiting")):
        return _Download(entry, model_dir, options, progress).run()


class _Download:
    """One download, under the directory's lock."""

    def __init__(
        self, entry: CatalogEntry, model_dir: Path, options: DownloadOptions, progress: DownloadProgress
    ) -> None:
        self._entry = entry
        self._names = entry.names
        self._model_dir = model_dir
        self._folder = model_dir / entry.name
        self._options = options
        self._progress = progress
        self._seals = Seals(self._folder)
        self._hub = Hub(entry, options.mirror, options.timeout)
        self._transfer = Transfer(self._hub, self._folder, progress, options.retries, options.room)

    def run(self) -> Downloaded:
        # 1. Look: which files are here and right, and what does the hub say of the rest?
        options = self._options
        self._progress.begin("checking")
        self._remove_damaged()
        encoder = self._entry.encoder_int8 if options.precision == "int8" else self._entry.encoder
        fp32_was_ours = self._seals.get(self._names.encoder) is not None
        files = [encoder, *self._entry.common]
        made = self._find_made()
        optimizing = made is not None and not is_present(made)
        if made is not None and not optimizing and not options.keep_fp32 and not is_refused(made):
            files.remove(encoder)
        wanted = [file for file in map(self._find_wanted, files) if file is not None]

        # 2. Check that the rest fits, before the first byte.
        total = sum(file.size for file in wanted)
        missing = total - sum(self._transfer.arrived(file) for file in wanted)
        options.room.require(self._folder, self._find_needs(encoder, missing, optimizing=optimizing))

        # 3. Fetch it.
        if wanted:
            self._progress.begin("downloading", total_bytes=total, done_bytes=total - missing)
        for file in wanted:
            self._transfer.fetch(file)

        # 4. Make it fast.
        report: list[str] = []
        if made is not None and optimizing:
            source = self._folder / self._names.encoder
            report += make_encoder(source, made, self._names, options.preparation, self._progress)
            spare = not options.keep_fp32 and not is_refused(made)
            if spare and (fp32_was_ours or any(file.name == self._names.encoder for file in wanted)):
                self._remove(self._names.encoder)
        shutil.rmtree(self._folder / PARTIAL_FOLDER, ignore_errors=True)
        found = resolve(self._entry.name, self._model_dir, options.precision)
        if wanted or report or (found.decoder is not None and found.search is None):
            self._progress.begin("optimizing", "loading and search")
            report += options.preparation.prepare(found.encoder, self._names)
            found = resolve(self._entry.name, self._model_dir, options.precision)
        self._progress.begin("done")
        return Downloaded(found, tuple(file.name for file in wanted), tuple(report))

    def _find_made(self) -> Path | None:
        """Return the encoder that is to be made out of the fp32 one, if any is."""
        if self._options.precision == "fp16":
            return self._folder / self._names.halved
        is_optimized = self._options.precision == "auto" and self._options.optimize
        return self._folder / self._names.optimized if is_optimized else None

    def _find_needs(self, encoder: RemoteFile, missing_bytes: int, *, optimizing: bool) -> Needs:
        """Return the room for the missing files, and for making them fast."""
        size = encoder.nominal_bytes
        here = choose_encoder(self._folder, self._names, self._options.precision)
        if here is not None and not optimizing:
            path = self._folder / here[0]
            size = 0 if here[1] == "fp16" or plan_load(path).prepacked else path.stat().st_size
        return needs_of(size, optimizing=optimizing, besides=missing_bytes)

    def _remove_damaged(self) -> None:
        """Remove encoders that we fetched or made and that have changed since: none of them may be chosen."""
        for name, _ in self._names.forms:
            seal, path = self._seals.get(name), self._folder / name
            if seal is not None and is_present(path) and self._read(path) != seal.sha256:
                self._remove(name)

    def _remove(self, name: str) -> None:
        (self._folder / name).unlink()
        self._seals.drop(name)

    def _find_wanted(self, file: RemoteFile) -> Wanted | None:
        """Return the transfer that this file needs; None if it is here and right (it is then sealed)."""
        remote = None if file.sha256 else self._ask(file)
        digest = remote.digest if remote else file.sha256
        assert digest is not None, "the catalogue or the hub has told it"
        here = self._folder / file.name
        if is_present(here) and self._read(here, digest) == digest:
            if self._seals.state(file.name) != "good":
                self._seals.put(file.name, self._read(here))
            return None
        for path in (self._model_dir / file.name, self._hub.find_cached(file.name)):
            if path is not None and is_present(path) and self._read(path, digest) == digest:
                return Wanted(file.name, path.stat().st_size, digest, local=path)
        remote = remote or self._ask(file)
        if remote.size is None:
            raise self._untold("size", file)
        return Wanted(file.name, remote.size, digest)

    def _ask(self, file: RemoteFile) -> RemoteState:
        """Ask the hub about a file; the digest it returns is the catalogue's, if that has one."""
        endpoint = self._hub.endpoint
        try:
            remote = self._transfer.look_up(file.name)
        except LineBroken as exc:
            names = ", ".join(self._names.common)
            encoders = " or ".join(name for name, _ in self._names.forms[:3])
            raise DownloadFailed(
                f"Cannot ask {endpoint} about {file.name}: {exc}. Without a way there, use a mirror "
                "(`gigastt download --mirror URL`, or HF_ENDPOINT), or copy the folder "
                f"{self._folder} from a machine that has it. It must hold {names} and {encoders}."
            ) from exc
        known, told = file.sha256, remote.digest
        if known is None and told is None:
            raise self._untold("digest", file)
        if known is not None and told is not None and len(told) == len(known) and told != known:
            raise DownloadFailed(
                f"{endpoint} has another {file.name}: expected SHA-256 {known}, but it tells {told}. "
                "Nothing was fetched."
            )
        return RemoteState(remote.size, known or told)

    def _untold(self, fact: str, file: RemoteFile) -> DownloadFailed:
        return DownloadFailed(
            f"{self._hub.endpoint} does not tell the {fact} of {file.name}, so it could not be checked. Use the hub "
            "itself, or a mirror that passes on its metadata."
        )

    def _read(self, path: Path, like: str | None = None) -> str:
        """Return a file's SHA-256, or its digest of the kind of another."""
        self._progress.turn_to(path.name)
        return digest_of(path, like) if like else sha256_of(path)
