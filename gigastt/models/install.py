"""What is made out of fetched files: the optimised encoder, the search's weights, the prepacked form; and its room.

The work itself is in `models.optimize`, `models.search_weights` and `models.prepacked`, imported only when it is
about to run (onnx alone takes a quarter of a second). Runs in whichever process holds the directory's lock.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from gigastt.errors import DownloadFailed
from gigastt.models import prepacked
from gigastt.models.catalog import DECODER, ENCODER_FP32, ENCODER_OPTIMIZED, JOINT, VOCABULARY
from gigastt.models.disk import FreeBytes, free_bytes, replacing, require_space
from gigastt.models.lock import exclusive
from gigastt.models.memory import available_memory, require_memory
from gigastt.models.progress import DownloadProgress
from gigastt.models.seals import Seals, sha256_of
from gigastt.models.store import ModelFiles

Tell: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Needs:
    """What a step takes at its peak, in bytes."""

    disk: int = 0
    memory: int = 0
    purpose: str = ""
    instead: str = ""

    def require(self, folder: Path, besides: int, free: FreeBytes, available: int | None) -> None:
        """Check that it can be had, and `besides` bytes of disk.

        Raises:
            NotEnoughRoom: it cannot; the message has both numbers.
        """
        require_space(folder, besides + self.disk, free)
        require_memory(self.memory, self.purpose, available, self.instead)


@dataclass(frozen=True, slots=True)
class Preparation:
    """How files are made fast, and what that takes.

    Attributes:
        optimize: fp32 file, file to write, what to tell of each step → lines of a report. Raises ModelInvalid and
            leaves nothing.
        prepare: the encoder that will be loaded → lines of a report; writes what makes loading and search fast.
        memory_factor: peak of optimising over the size of the fp32 encoder.
        size_factor: size of the optimised encoder over that of the fp32 one.
    """

    optimize: Callable[[Path, Path, Tell], list[str]]
    prepare: Callable[[Path], list[str]]
    memory_factor: float = 4.0  # measured 3.5
    size_factor: float = 0.27

    def needs(self, encoder_bytes: int, *, optimizing: bool) -> Needs:
        """What making an encoder of this size fast takes, besides the file itself."""
        if optimizing:
            made = int(encoder_bytes * self.size_factor)
            return Needs(
                made + prepacked.disk_needed(made),
                int(encoder_bytes * self.memory_factor),
                "Optimising the encoder",
                "Use `--precision int8` (the published int8 files, as they are), or optimise on another machine and "
                "copy the files.",
            )
        return Needs(
            prepacked.disk_needed(encoder_bytes),
            prepacked.memory_needed(encoder_bytes),
            "Laying out the encoder's weights for all workers",
            "Free some, or do this on another machine and copy the files.",
        )


def make_encoder(source: Path, folder: Path, preparation: Preparation, progress: DownloadProgress) -> list[str]:
    """Make and seal the optimised encoder out of an fp32 one; return the report.

    Raises:
        ModelInvalid: the fp32 encoder breaks its contract, or the result does; nothing is left behind.
    """

    def tell(step: str) -> None:
        progress.begin("optimizing", subject=step)

    tell("the encoder")
    target = folder / ENCODER_OPTIMIZED
    for leftover in folder.glob(f"{target.name}.*.partial"):  # of a process that was killed; we hold the lock
        leftover.unlink()
    seals = Seals(folder)
    seals.drop(target.name)  # of an earlier one: never the old seal on a new file
    report = preparation.optimize(source, target, tell)
    seals.put(target.name, sha256_of(target))
    return report


def optimize_files(
    files: ModelFiles, output: Path | None, preparation: Preparation, progress: DownloadProgress
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
    with exclusive(folder, progress):
        try:
            needs = preparation.needs(files.encoder.stat().st_size, optimizing=True)
            needs.require(folder, 0, free_bytes, available_memory())
            for source in (files.decoder, files.joint, files.vocabulary):
                if not (folder / source.name).exists() or not source.samefile(folder / source.name):
                    with replacing(folder / source.name) as copy:
                        _copy(source, copy)
            report = make_encoder(files.encoder, folder, preparation, progress)
            progress.begin("optimizing", subject="loading and search")
            report += preparation.prepare(folder / ENCODER_OPTIMIZED)
        except OSError as exc:
            raise DownloadFailed(f"Cannot use {folder}: {exc.strerror or exc}.") from exc
        progress.begin("done")
    return folder, report


def _copy(source: Path, target: Path) -> None:
    """Copy one of a model's files whole.

    Raises:
        ModelInvalid: a graph keeps its weights in another file, which is not there.
    """
    if source.suffix == ".onnx":
        from gigastt.optimize.graph import copy_model

        copy_model(source, target)
    else:
        shutil.copyfile(source, target)


def _optimize(source: Path, target: Path, tell: Tell) -> list[str]:
    from gigastt.optimize import optimize

    return optimize(source, target, progress=tell).lines()


def _prepare(encoder: Path) -> list[str]:
    return [_write_search_weights(encoder.parent), _prepack(encoder)]


def _write_search_weights(folder: Path) -> str:
    """Write the search's weights beside decoder and joint; say so where their form is not known."""
    from gigastt.optimize.search_writer import UnknownGraph, write_search_weights
    from gigastt.speech.model import TripletFiles

    files = TripletFiles(folder / ENCODER_FP32, folder / DECODER, folder / JOINT, folder / VOCABULARY)
    try:
        return f"Search: {write_search_weights(files).name} written; decoder and joint need not be run."
    except UnknownGraph as exc:
        return f"Search: the decoder and the joint are run as they are ({exc})."


def _prepack(encoder: Path) -> str:
    if asyncio.run(prepacked.prepare_load(encoder)).prepacked:
        return "Loading: weights laid out for this processor; all workers share one copy of them."
    return "Loading: each worker has its own copy of the encoder's weights (they are few, or there is no room)."


PREPARATION = Preparation(_optimize, _prepare)
