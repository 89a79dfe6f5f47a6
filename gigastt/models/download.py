"""`download`: from whatever is on this machine to a complete, verified set of files of one model.

    1. hold the directory's lock (eight processes make one transfer; the other seven find it done)
    2. look: which files are here and right, which lie elsewhere on this machine, what the hub says of the rest
    3. check that disk and memory suffice, before the first byte
    4. fetch what is missing (`transfer`)
    5. optimise the encoder, remove the fp32 one unless it is wanted, prepare loading and search

Blocking; the command line runs it in its own process, a server in a child process (`fetch`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gigastt.config import Precision
from gigastt.errors import DownloadFailed, ModelInvalid, ModelMissing
from gigastt.models.catalog import ENCODER_FP32, ENCODER_OPTIMIZED, CatalogEntry, RemoteFile
from gigastt.models.disk import FreeBytes, free_bytes, require_space
from gigastt.models.hub import Hub, RemoteState
from gigastt.models.lock import exclusive
from gigastt.models.memory import available_memory
from gigastt.models.optimizer import EncoderOptimizer, Optimizer, make_encoder, require_encoder_memory
from gigastt.models.progress import DownloadProgress
from gigastt.models.seals import Seals, sha256_of
from gigastt.models.store import PARTIAL_FOLDER, ModelFiles, is_present, model_folder, resolve
from gigastt.models.transfer import Patience, Transfer, Wanted, persist


@dataclass(frozen=True, slots=True)
class DownloadOptions:
    """What to fetch and what to do with it.

    Attributes:
        precision: `int8` takes the published int8 encoder as it is; `fp32` the fp32 one as it is;
            `auto` optimises the fp32 one and then removes it.
        mirror: address of a mirror of the hub; None for HF_ENDPOINT or the hub itself.
        keep_fp32: keep the fp32 encoder after optimising.
        optimizer: makes what makes loading and search fast and, with `auto`, the optimised encoder; None: nothing.
    """

    precision: Precision = "auto"
    mirror: str | None = None
    keep_fp32: bool = False
    optimizer: Optimizer | None = None
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
    folder = model_folder(entry.name, model_dir)
    with exclusive(folder, progress):
        try:
            return _Download(entry, model_dir, folder, options, progress).run()
        except OSError as exc:
            raise DownloadFailed(f"Cannot use {folder}: {exc.strerror or exc}.") from exc


def ensure(
    entry: CatalogEntry, model_dir: Path, options: DownloadOptions, progress: DownloadProgress | None = None
) -> Outcome:
    """Return the files that are here, or download them: what `serve --auto-download` does.

    Raises:
        DownloadFailed, NotEnoughRoom: as `download`.
    """
    try:
        return Outcome(resolve(entry.name, model_dir, options.precision), ())
    except (ModelMissing, ModelInvalid):
        return download(entry, model_dir, options, progress)


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
        self._progress.begin("checking")
        optimizer = self._encoder_optimizer()
        encoder = self._entry.encoder_int8 if self._options.precision == "int8" else self._entry.encoder
        fp32_was_ours = self._seals.get(encoder.name) is not None
        wanted_files = [encoder, self._entry.decoder, self._entry.joint, self._entry.vocabulary]
        if optimizer and self._optimized_is_good():
            optimizer = None
            if not self._options.keep_fp32:
                wanted_files.remove(encoder)
        wanted = [file for file in map(self._wanted, wanted_files) if file is not None]

        # 2. Will the rest fit?
        missing = sum(file.size - self._transfer.arrived(file) for file in wanted)
        made = int(encoder.nominal_bytes * optimizer.disk_factor) if optimizer else 0
        require_space(self._folder, missing + made, self._options.free)
        if optimizer:
            require_encoder_memory(optimizer, encoder.nominal_bytes, self._options.memory())

        # 3. Fetch it.
        total = sum(file.size for file in wanted)
        if wanted:
            self._progress.begin("downloading", total_bytes=total, done_bytes=total - missing)
        for file in wanted:
            self._transfer.fetch(file)

        # 4. Make it fast.
        report: list[str] = []
        if optimizer:
            fetched_now = any(file.name == encoder.name for file in wanted)
            report += self._optimize(optimizer, remove=not self._options.keep_fp32 and (fetched_now or fp32_was_ours))
        shutil.rmtree(self._folder / PARTIAL_FOLDER, ignore_errors=True)
        files = resolve(self._entry.name, self._model_dir, self._options.precision)
        if self._options.optimizer and (wanted or report or files.search is None):
            self._progress.begin("optimizing", subject="loading and search")
            report += self._options.optimizer.prepare(files.encoder)
        self._progress.begin("done")
        return Outcome(
            resolve(self._entry.name, self._model_dir, self._options.precision),
            tuple(file.name for file in wanted),
            tuple(report),
        )

    def _encoder_optimizer(self) -> EncoderOptimizer | None:
        optimizer = self._options.optimizer
        return optimizer.encoder if optimizer is not None and self._options.precision == "auto" else None

    def _optimized_is_good(self) -> bool:
        """Whether the optimised encoder is here and is still what we made; a damaged one is removed."""
        path = self._folder / ENCODER_OPTIMIZED
        if not is_present(path):
            return False
        seal = self._seals.get(ENCODER_OPTIMIZED)
        if seal is None or self._digest(path) == seal.sha256:
            return True
        path.unlink()
        self._seals.drop(ENCODER_OPTIMIZED)
        return False

    def _wanted(self, file: RemoteFile) -> Wanted | None:
        """What must be fetched to have this file, or None where it is here and right (and then sealed)."""
        here = self._folder / file.name
        elsewhere = [path for path in (self._model_dir / file.name, self._hub.cached(file.name)) if path is not None]
        if file.sha256 is not None:
            if is_present(here) and self._is_right(here, file.sha256):
                return None
            local = self._first_right(elsewhere, file.sha256)
            if local is not None:
                return Wanted(file.name, local.stat().st_size, file.sha256, exact=True, local=local)
        remote = persist(
            lambda: self._hub.look_up(file.name),
            self._options.patience,
            self._progress,
            f"Cannot ask {self._hub.endpoint} about {file.name}",
        )
        sha256 = self._agree(file, remote)
        if file.sha256 is None:
            if is_present(here) and self._is_right(here, sha256):
                return None
            local = self._first_right(elsewhere, sha256)
            if local is not None:
                return Wanted(file.name, local.stat().st_size, sha256, exact=True, local=local)
        return Wanted(file.name, remote.size or file.nominal_bytes, sha256, exact=remote.size is not None)

    def _agree(self, file: RemoteFile, remote: RemoteState) -> str:
        """The digest a file must have: the catalogue's, else the hub's."""
        if file.sha256 is None:
            if remote.sha256 is None:
                raise DownloadFailed(
                    f"{self._hub.endpoint} does not tell the digest of {file.name}, so it could not be checked. "
                    "Use the hub itself, or a mirror that passes on its metadata."
                )
            return remote.sha256
        if remote.sha256 not in (None, file.sha256):
            raise DownloadFailed(
                f"{self._hub.endpoint} has another {file.name}: expected SHA-256 {file.sha256}, but it tells "
                f"{remote.sha256}. Nothing was fetched."
            )
        return file.sha256

    def _is_right(self, path: Path, sha256: str) -> bool:
        """Read a file in our folder; seal it where it is right."""
        if self._digest(path) != sha256:
            return False
        if self._seals.get(path.name) is None or self._seals.state(path.name) != "good":
            self._seals.put(path.name, sha256)
        return True

    def _first_right(self, paths: list[Path], sha256: str) -> Path | None:
        return next((path for path in paths if is_present(path) and self._digest(path) == sha256), None)

    def _digest(self, path: Path) -> str:
        self._progress.turn_to(path.name)
        return sha256_of(path, lambda count: self._progress.check_cancelled())

    def _optimize(self, optimizer: EncoderOptimizer, *, remove: bool) -> list[str]:
        report = make_encoder(self._folder, optimizer, self._progress)
        if remove:
            (self._folder / ENCODER_FP32).unlink()
            Seals(self._folder).drop(ENCODER_FP32)
        return report
