"""The files made out of fetched ones: encoders for this processor and for cards, the search's weights, prepacked forms.

The work itself is in `gigastt.optimize` and `models.prepacked`; the former is imported only when it is about to run
(onnx alone takes a quarter of a second). Runs in the process that holds the directory's lock.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from gigastt.models import prepacked
from gigastt.models.catalog import FileNames, names_of
from gigastt.models.disk import Seals, exclusive, replacing, sha256_of
from gigastt.models.room import THIS_MACHINE, FreeRoom, needs_of
from gigastt.models.stages import DownloadProgress
from gigastt.models.store import ModelFiles

Tell: TypeAlias = Callable[[str], None]


def _optimize(source: Path, target: Path, names: FileNames, tell: Tell) -> list[str]:
    if target.name == names.halved:
        from gigastt.optimize.half import halve_encoder

        return halve_encoder(source, target, tell)
    from gigastt.optimize.encoder import optimize_encoder

    return optimize_encoder(source, target, names, progress=tell).lines()


def _prepare(encoder: Path, names: FileNames) -> list[str]:
    report = _write_search_weights(encoder, names)
    return report if encoder.name == names.halved else [*report, _prepack(encoder)]


def _write_search_weights(encoder: Path, names: FileNames) -> list[str]:
    """Write the search's weights beside decoder and joint; say so if their form is not known."""
    from gigastt.optimize.search_writer import UnknownGraph, write_search_weights
    from gigastt.speech.model import TripletFiles

    if names.decoder is None or names.joint is None:
        return []
    files = TripletFiles(encoder, *(encoder.with_name(name) for name in (names.decoder, names.joint, names.vocabulary)))
    try:
        return [f"Search: {write_search_weights(files).name} written; decoder and joint need not be run."]
    except UnknownGraph as exc:
        return [f"Search: the decoder and the joint are run as they are ({exc})."]


def _prepack(encoder: Path) -> str:
    if asyncio.run(prepacked.prepare_load(encoder)).prepacked:
        return "Loading: weights laid out for this processor; all workers share one copy of them."
    return "Loading: each worker has its own copy of the encoder's weights (they are few, or there is no room)."


@dataclass(frozen=True, slots=True)
class Preparation:
    """How files are made fast.

    Attributes:
        optimize: takes the fp32 file, the file to write, the names of the files beside it, and a function to tell of
            each step; returns the lines of a report, or raises ModelInvalid and leaves nothing.
        prepare: takes the encoder that will be loaded, and the names; writes the search's weights and the prepacked
            form; returns the lines of a report.
    """

    optimize: Callable[[Path, Path, FileNames, Tell], list[str]] = _optimize
    prepare: Callable[[Path, FileNames], list[str]] = _prepare


PREPARATION = Preparation()


def make_encoder(
    source: Path, target: Path, names: FileNames, preparation: Preparation, progress: DownloadProgress
) -> list[str]:
    """Make and seal an encoder out of an fp32 one; return the report.

    Args:
        target: the file to make: `names.optimized` or `names.halved`, in any folder.

    Raises:
        ModelInvalid: the fp32 encoder breaks its contract, or the result does; nothing is left behind.
    """

    def tell(step: str) -> None:
        progress.begin("optimizing", step)

    tell("the encoder")
    folder = target.parent
    for leftover in folder.glob(f"{target.name}.*.partial"):  # of a process that was killed; we hold the lock
        leftover.unlink()
    seals = Seals(folder)
    seals.drop(target.name)  # of an earlier one: never the old seal on a new file
    report = preparation.optimize(source, target, names, tell)
    seals.put(target.name, sha256_of(target))
    return report


def optimize_files(
    files: ModelFiles,
    output: Path | None,
    progress: DownloadProgress,
    preparation: Preparation = PREPARATION,
    room: FreeRoom = THIS_MACHINE,
    *,
    for_cards: bool = False,
) -> tuple[Path, list[str]]:
    """Optimise a complete fp32 set that is here, in its own folder or into a new one; the source stays.

    Returns:
        The folder with the result, and the report.

    Raises:
        DownloadFailed: the folder cannot be written.
        NotEnoughRoom: disk or memory do not suffice.
        ModelInvalid: the files break their contract; nothing is left behind.
    """
    folder, names = output or files.directory, names_of(files.name)
    target = folder / (names.halved if for_cards else names.optimized)
    with exclusive(folder, lambda: progress.begin("waiting")):
        room.require(folder, needs_of(files.encoder.stat().st_size, optimizing=True))
        for source in files.common:
            if not (folder / source.name).exists() or not source.samefile(folder / source.name):
                with replacing(folder / source.name) as copy:
                    _copy(source, copy)
        report = make_encoder(files.encoder, target, names, preparation, progress)
        progress.begin("optimizing", "loading and search")
        report += preparation.prepare(target, names)
        progress.begin("done")
    return folder, report


def _copy(source: Path, target: Path) -> None:
    """Copy one of a model's files whole; raises as `copy_model`."""
    if source.suffix == ".onnx":
        from gigastt.optimize.graph import copy_model

        copy_model(source, target)
    else:
        shutil.copyfile(source, target)
