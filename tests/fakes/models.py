"""A model small enough to be fetched a hundred times a second: four files of random bytes and their catalogue entry."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from pathlib import Path

from gigastt.config import DEFAULT_MODEL
from gigastt.models.catalog import (
    DECODER,
    ENCODER_FP32,
    ENCODER_INT8,
    JOINT,
    VOCABULARY,
    CatalogEntry,
    RemoteFile,
)
from gigastt.models.install import Preparation

REPOSITORY = "someone/small-model"
REVISION = "0123456789abcdef0123456789abcdef01234567"
SIZES = {ENCODER_FP32: 400_000, ENCODER_INT8: 100_000, DECODER: 30_000, JOINT: 20_000, VOCABULARY: 500}

NO_PREPARATION = Preparation(lambda source, target, names, tell: [], lambda encoder, names: [])


def make_contents(seed: int = 1) -> dict[str, bytes]:
    """The files' contents, by name; the same for the same seed."""
    source = random.Random(seed)
    return {name: source.randbytes(size) for name, size in SIZES.items()}


def contents_of(folder: Path) -> dict[str, bytes]:
    """A folder's files under the default model's names; of the int8 encoder there is nothing."""
    return {name: (folder / name).read_bytes() if name != ENCODER_INT8 else b"" for name in SIZES}


def make_entry(contents: Mapping[str, bytes]) -> CatalogEntry:
    """The catalogue entry of these files, which like the real one lacks the int8 encoder's digest."""

    def remote(name: str) -> RemoteFile:
        known = None if name == ENCODER_INT8 else hashlib.sha256(contents[name]).hexdigest()
        return RemoteFile(name, len(contents[name]), known)

    return CatalogEntry(
        name=DEFAULT_MODEL,
        title="random bytes",
        repository=REPOSITORY,
        revision=REVISION,
        encoder=remote(ENCODER_FP32),
        encoder_int8=remote(ENCODER_INT8),
        decoder=remote(DECODER),
        joint=remote(JOINT),
        vocabulary=remote(VOCABULARY),
    )
