"""What is made out of fetched files: the optimised encoder, the search's weights, the prepacked form; and its room.

The work itself is in `models.optimize`, `models.search_weights` and `models.prepacked`, imported only when it is
about to run (onnx alone takes a quarter of a second). Runs in whichever process holds the directory's lock.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gigastt.models.catalog import DECODER, ENCODER_FP32, ENCODER_OPTIMIZED, JOINT, VOCABULARY
from gigastt.models.disk import require_space
from gigastt.models.lock import exclusive
from gigastt.models.memory import available_memory, require_memory
from gigastt.models.progress import DownloadProgress
from gigastt.models.seals import Seals, sha256_of
from gigastt.models.store import ModelFiles


@dataclass(frozen=True, slots=True)
class EncoderOptimizer:
    """How the optimised encoder is made, and what that takes as multiples of the fp32 encoder's size.

    Attributes:
        run: fp32 file, file to write, what to tell of each step → lines of a report. Raises ModelInvalid and
            leaves nothing.
    """

    run: Callable[[Path, Path, Callable[[str], None]], list[str]]
    memory_factor: float
    disk_factor: float


@dataclass(frozen=True, slots=True)
class Optimizer:
    """What to do with fetched files.

    Attributes:
        prepare: the encoder that will be loaded → lines of a report; writes what makes loading and search fast.
        encoder: None leaves the encoder as it is.
    """

    prepare: Callable[[Path], list[str]]
    encoder: EncoderOptimizer | None


def load_optimizer(*, encoder: bool) -> Optimizer:
    """The project's own optimiser; without `encoder` it leaves the encoder as it is."""
    if not encoder:
        return Optimizer(_prepare, None)
    from gigastt.models.optimize import DISK_FACTOR, MEMORY_FACTOR

    return Optimizer(_prepare, EncoderOptimizer(_optimize_encoder, MEMORY_FACTOR, DISK_FACTOR))


def require_encoder_memory(optimizer: EncoderOptimizer, encoder_bytes: int, available: int | None) -> None:
    """Check that an encoder of this size can be optimised here.

    Raises:
        NotEnoughRoom: it cannot.
    """
    require_memory(
        int(encoder_bytes * optimizer.memory_factor),
        "Optimising the encoder",
        available,
        "Use `--precision int8` (the published int8 files, as they are), or optimise on another machine and copy "
        "the files.",
    )


def make_encoder(folder: Path, optimizer: EncoderOptimizer, progress: DownloadProgress) -> list[str]:
    """Make and seal the optimised encoder beside the fp32 one; return the report.

    Raises:
        ModelInvalid: the fp32 encoder breaks its contract, or the result does; nothing is left behind.
    """

    def tell(step: str) -> None:
        progress.check_cancelled()
        progress.begin("optimizing", subject=step)

    tell("the encoder")
    target = folder / ENCODER_OPTIMIZED
    for leftover in folder.glob(f"{target.name}.*.partial"):  # of a process that was killed; we hold the lock
        leftover.unlink()
    report = optimizer.run(folder / ENCODER_FP32, target, tell)
    Seals(folder).put(target.name, sha256_of(target))
    return report


def optimize_files(
    files: ModelFiles, output: Path | None, optimizer: Optimizer, progress: DownloadProgress
) -> tuple[Path, list[str]]:
    """Optimise a complete fp32 set that is here, in its own folder or into a new one; the source stays.

    Returns:
        The folder with the result, and the report.

    Raises:
        DownloadFailed: the folder cannot be written.
        NotEnoughRoom: disk or memory do not suffice.
        ModelInvalid: the files break their contract; nothing is left behind.
    """
    folder = output or files.directory
    size = files.encoder.stat().st_size
    with exclusive(folder, progress):
        copied = 0 if output is None else size
        made = 0
        if optimizer.encoder is not None:
            require_encoder_memory(optimizer.encoder, size, available_memory())
            made = int(size * optimizer.encoder.disk_factor)
        require_space(folder, copied + made)
        if output is not None:
            for source in (files.encoder, files.decoder, files.joint, files.vocabulary):
                shutil.copyfile(source, output / source.name)
        made_encoder = folder / files.encoder.name
        report: list[str] = []
        if optimizer.encoder is not None:
            made_encoder = folder / ENCODER_OPTIMIZED
            report += make_encoder(folder, optimizer.encoder, progress)
        progress.begin("optimizing", subject="loading and search")
        report += optimizer.prepare(made_encoder)
        if output is not None:
            (output / ENCODER_FP32).unlink()
        progress.begin("done")
    return folder, report


def _optimize_encoder(source: Path, target: Path, tell: Callable[[str], None]) -> list[str]:
    from gigastt.models.optimize import optimize

    return optimize(source, target, progress=tell).lines()


def _prepare(encoder: Path) -> list[str]:
    return [_write_search_weights(encoder.parent), _prepack(encoder)]


def _write_search_weights(folder: Path) -> str:
    """Write the search's weights beside decoder and joint; say so where their form is not known."""
    from gigastt.models.search_weights import UnknownGraph, write_search_weights
    from gigastt.speech.model import TripletFiles

    files = TripletFiles(folder / ENCODER_FP32, folder / DECODER, folder / JOINT, folder / VOCABULARY)
    try:
        return f"Search: {write_search_weights(files).name} written; decoder and joint need not be run."
    except UnknownGraph as exc:
        return f"Search: the decoder and the joint are run as they are ({exc})."


def _prepack(encoder: Path) -> str:
    from gigastt.models.prepacked import prepare_load

    if prepare_load(encoder).prepacked:
        return "Loading: weights laid out for this processor; all workers share one copy of them."
    return "Loading: each worker has its own copy of the encoder's weights (they are few, or there is no room)."
