"""`download`: from whatever is on this machine to a complete, verified set of files of one model.

    1. hold the directory's lock (eight processes make one transfer; the other seven find it done)
    2. look: which files are here and right, which lie elsewhere on this machine, what the hub says of the rest
    3. check that disk and memory suffice, before the first byte
    4. fetch what is missing (`transfer`)
    5. optimise the encoder, remove the fp32 one unless it is wanted, prepare loading and search

Blocking; the command line runs it in its own process, a server in a child process (`fetch`).
"""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gigastt.config import Precision
from gigastt.errors import DownloadFailed
from gigastt.models.catalog import ENCODER_FORMS, ENCODER_FP32, ENCODER_OPTIMIZED, CatalogEntry, RemoteFile
from gigastt.models.disk import FreeBytes, free_bytes
from gigastt.models.hub import Hub, LineBroken, RemoteState
from gigastt.models.install import Needs, Preparation, make_encoder
from gigastt.models.lock import exclusive
from gigastt.models.memory import available_memory
from gigastt.models.prepacked import plan_load
from gigastt.models.progress import DownloadProgress
from gigastt.models.seals import Seals, sha256_of
from gigastt.models.store import PARTIAL_FOLDER, ModelFiles, choose_encoder, is_present, resolve
from gigastt.models.transfer import Patience, Transfer, Wanted


@dataclass(frozen=True, slots=True)
class DownloadOptions:
    """What to fetch and what to do with it.

    Attributes:
        preparation: makes what makes loading and search fast, and the optimised encoder.
        precision: `int8` takes the published int8 encoder as it is; `fp32` the fp32 one as it is;
            `auto` optimises the fp32 one and then removes it.
        mirror: address of a mirror of the hub; None for HF_ENDPOINT or the hub itself.
        keep_fp32: keep the fp32 encoder after optimising.
        optimize: make the optimised encoder, with `auto`.
    """

    preparation: Preparation
    precision: Precision = "auto"
    mirror: str | None = None
    keep_fp32: bool = False
    optimize: bool = True
    timeout: float | None = None
    patience: Patience = field(default_factory=Patience)
    free: FreeBytes = free_bytes
    memory: Callable[[], int | None] = available_memory


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a download did."""

    files: ModelFiles
    fetched: tuple[str, ...]
    report: tuple[str, ...] = ()


def download(
    entry: CatalogEntry, model_dir: Path, options: DownloadOptions, progress: DownloadProgress | None = None
) -> Outcome:
    """Make the files of a model complete, and return them.

    Raises:
        DownloadFailed: the hub, the way to it, or what came from it; what is right is kept.
        NotEnoughRoom: disk or memory do not suffice.
    """
    progress = progress or DownloadProgress()
    folder = model_dir / entry.name
    with exclusive(folder, progress):
        try:
            return _Download(entry, model_dir, folder, options, progress).run()
        except OSError as exc:
            raise DownloadFailed(f"Cannot use {folder}: {exc.strerror or exc}.") from exc


class _Download:
    """One download, under the directory's lock."""

    def __init__(
        self,
        entry: CatalogEntry,
        model_dir: Path,
        folder: Path,
        options: DownloadOptions,
        progress: DownloadProgress,
    ) -> None:
        self._entry = entry
        self._model_dir = model_dir
        self._folder = folder
        self._options = options
        self._progress = progress
        self._seals = Seals(folder)
        self._hub = Hub(entry, options.mirror, options.timeout)
        self._transfer = Transfer(self._hub, folder, progress, options.patience, options.free)

    def run(self) -> Outcome:
        # 1. What is here already?
        options = self._options
        self._progress.begin("checking")
        self._remove_damaged()
        encoder = self._entry.encoder_int8 if options.precision == "int8" else self._entry.encoder
        fp32_was_ours = self._seals.get(ENCODER_FP32) is not None
        wanted_files = [encoder, self._entry.decoder, self._entry.joint, self._entry.vocabulary]
        optimizing = options.optimize and options.precision == "auto"
        if optimizing and is_present(self._folder / ENCODER_OPTIMIZED):
            optimizing = False
            if not options.keep_fp32:
                wanted_files.remove(encoder)
        wanted = [file for file in map(self._wanted, wanted_files) if file is not None]

        # 2. Will the rest fit?
        missing = sum(file.size - self._transfer.arrived(file) for file in wanted)
        self._needs(encoder, optimizing=optimizing).require(self._folder, missing, options.free, options.memory())

        # 3. Fetch it.
        total = sum(file.size for file in wanted)
        if wanted:
            self._progress.begin("downloading", total_bytes=total, done_bytes=total - missing)
        for file in wanted:
            self._transfer.fetch(file)

        # 4. Make it fast.
        report: list[str] = []
        if optimizing:
            report += make_encoder(self._folder / ENCODER_FP32, self._folder, options.preparation, self._progress)
            if not options.keep_fp32 and (fp32_was_ours or any(file.name == ENCODER_FP32 for file in wanted)):
                (self._folder / ENCODER_FP32).unlink()
                Seals(self._folder).drop(ENCODER_FP32)
        shutil.rmtree(self._folder / PARTIAL_FOLDER, ignore_errors=True)
        files = resolve(self._entry.name, self._model_dir, options.precision)
        if wanted or report or files.search is None:
            self._progress.begin("optimizing", subject="loading and search")
            report += options.preparation.prepare(files.encoder)
            files = resolve(self._entry.name, self._model_dir, options.precision)
        self._progress.begin("done")
        return Outcome(files, tuple(file.name for file in wanted), tuple(report))

    def _needs(self, encoder: RemoteFile, *, optimizing: bool) -> Needs:
        """What making the files fast will take, besides themselves."""
        size = encoder.nominal_bytes
        here = choose_encoder(self._folder, self._options.precision)
        if here is not None and not optimizing:
            path = self._folder / here[0]
            if plan_load(path).prepacked:
                return Needs()
            size = path.stat().st_size
        return self._options.preparation.needs(size, optimizing=optimizing)

    def _remove_damaged(self) -> None:
        """Remove encoders that we fetched or made and that have changed since: none of them may be chosen."""
        for name, _ in ENCODER_FORMS:
            seal, path = self._seals.get(name), self._folder / name
            if seal is not None and is_present(path) and self._digest(path) != seal.sha256:
                path.unlink()
                self._seals.drop(name)

    def _wanted(self, file: RemoteFile) -> Wanted | None:
        """What must be fetched to have this file, or None where it is here and right (and then sealed)."""
        remote = self._look_up(file) if file.sha256 is None else None
        sha256 = file.sha256 if remote is None else self._agree(file, remote)
        assert sha256 is not None, "the catalogue or the hub has told it"
        here = self._folder / file.name
        if is_present(here) and self._is_right(here, sha256):
            return None
        for path in (self._model_dir / file.name, self._hub.cached(file.name)):
            if path is not None and is_present(path) and self._digest(path) == sha256:
                return Wanted(file.name, path.stat().st_size, sha256, local=path)
        if remote is None:
            remote = self._look_up(file)
            self._agree(file, remote)
        if remote.size is None:
            raise self._untold("size", file)
        return Wanted(file.name, remote.size, sha256)

    def _look_up(self, file: RemoteFile) -> RemoteState:
        """Ask the hub about a file, again while its failures may pass."""
        patience = self._options.patience
        self._progress.begin("contacting", subject=self._hub.endpoint)
        for failures in itertools.count(1):
            try:
                state = self._hub.look_up(file.name)
            except LineBroken as exc:
                if failures >= patience.attempts:
                    raise DownloadFailed(
                        f"Cannot ask {self._hub.endpoint} about {file.name}: {exc}. {self._ways_on()}"
                    ) from exc
                self._progress.turn_to(f"{self._hub.endpoint} again, {failures + 1} of {patience.attempts}: {exc}")
                time.sleep(patience.pause(failures))
            else:
                self._progress.begin("checking")
                return state
        raise AssertionError("unreachable")

    def _ways_on(self) -> str:
        """Say what to do where there is no way to the hub."""
        names = ", ".join(file.name for file in (self._entry.decoder, self._entry.joint, self._entry.vocabulary))
        encoders = " or ".join(name for name, _ in ENCODER_FORMS[:3])
        return (
            "Without a way there, use a mirror (`gigastt download --mirror URL`, or HF_ENDPOINT), or copy the folder "
            f"{self._folder} from a machine that has it. It must hold {names} and {encoders}."
        )

    def _agree(self, file: RemoteFile, remote: RemoteState) -> str:
        """The digest a file must have: the catalogue's, else the hub's."""
        if file.sha256 is None:
            if remote.sha256 is None:
                raise self._untold("digest", file)
            return remote.sha256
        if remote.sha256 not in (None, file.sha256):
            raise DownloadFailed(
                f"{self._hub.endpoint} has another {file.name}: expected SHA-256 {file.sha256}, but it tells "
                f"{remote.sha256}. Nothing was fetched."
            )
        return file.sha256

    def _untold(self, fact: str, file: RemoteFile) -> DownloadFailed:
        return DownloadFailed(
            f"{self._hub.endpoint} does not tell the {fact} of {file.name}, so it could not be checked. Use the hub "
            "itself, or a mirror that passes on its metadata."
        )

    def _is_right(self, path: Path, sha256: str) -> bool:
        """Read a file in our folder; seal it where it is right."""
        if self._digest(path) != sha256:
            return False
        if self._seals.state(path.name) != "good":
            self._seals.put(path.name, sha256)
        return True

    def _digest(self, path: Path) -> str:
        self._progress.turn_to(path.name)
        return sha256_of(path)
