"""What lies in a model's directories: every file with its size, whose it is and whether it is what it should be.

For `gigastt doctor` and for people who wonder. Reads files whole (0.5 to 2 s for 844 MB) and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from gigastt.config import DEMO_MODEL, Precision
from gigastt.models.catalog import CATALOG, DECODER, ENCODER_FORMS, JOINT, VOCABULARY
from gigastt.models.seals import Seals, sha256_of
from gigastt.models.store import PARTIAL_FOLDER, candidate_folders, choose_encoder, is_present, missing_files

# published: the catalogue's digest; sealed: as when we fetched or made it; changed: neither any more;
# other: of a published file's name, but not that file; unknown: nobody has told what it should be.
Standing: TypeAlias = Literal["published", "sealed", "changed", "other", "unknown"]


@dataclass(frozen=True, slots=True)
class FileFinding:
    """One file of a model."""

    path: Path
    size: int
    sha256: str
    standing: Standing
    in_use: bool


@dataclass(frozen=True, slots=True)
class FolderFinding:
    """One place where a model may lie.

    Attributes:
        missing: what a complete set lacks here, as in the messages of `resolve`.
        partial_bytes: what interrupted downloads have left.
    """

    folder: Path
    files: tuple[FileFinding, ...]
    missing: tuple[str, ...]
    partial_bytes: int
    in_use: bool


def inspect_model(model: str, model_dir: Path, precision: Precision = "auto") -> list[FolderFinding]:
    """Look at every place where the model may lie, best first; places that hold nothing are left out."""
    findings: list[FolderFinding] = []
    used = False
    for folder in candidate_folders(model, model_dir):
        encoder = choose_encoder(folder, precision)
        missing = [*missing_files(folder), *(["an encoder"] if encoder is None else [])]
        in_use = not missing and not used
        used = used or in_use
        names = {encoder[0], DECODER, JOINT, VOCABULARY} if in_use and encoder is not None else set()
        files = _inspect_files(model, folder, names)
        partial = sum(path.stat().st_size for path in (folder / PARTIAL_FOLDER).glob("*.part"))
        if files or partial:
            findings.append(FolderFinding(folder, files, tuple(missing), partial, in_use))
    return findings


def _inspect_files(model: str, folder: Path, used: set[str]) -> tuple[FileFinding, ...]:
    seals = Seals(folder)
    files = []
    for name in (*(name for name, _ in ENCODER_FORMS), DECODER, JOINT, VOCABULARY):
        path = folder / name
        if is_present(path):
            digest = sha256_of(path)
            standing = _standing(model, name, digest, seals)
            files.append(FileFinding(path, path.stat().st_size, digest, standing, name in used))
    return tuple(files)


def _standing(model: str, name: str, digest: str, seals: Seals) -> Standing:
    entry = CATALOG.get(model) if model != DEMO_MODEL else None
    published = entry.digest(name) if entry is not None else None
    if published == digest:
        return "published"
    seal = seals.get(name)
    if seal is not None:
        return "sealed" if seal.sha256 == digest else "changed"
    return "unknown" if published is None else "other"
