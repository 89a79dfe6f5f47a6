"""Whether each model file in use is what it should be, for `gigastt doctor`.

Reads files whole (0.5 to 2 s for 844 MB) and changes nothing.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from gigastt.models.catalog import CATALOG
from gigastt.models.seals import Seals, sha256_of
from gigastt.models.store import ModelFiles

# published: the catalogue's digest; sealed: as when we fetched or made it; changed: neither any more;
# other: of a published file's name, but not that file; unknown: nobody has told what it should be.
Standing: TypeAlias = Literal["published", "sealed", "changed", "other", "unknown"]


def judge(files: ModelFiles) -> dict[str, Standing]:
    """File name → standing, for the four files of a set."""
    seals = Seals(files.directory)
    names = (path.name for path in (files.encoder, files.decoder, files.joint, files.vocabulary))
    return {name: _judge(files, name, seals) for name in names}


def _judge(files: ModelFiles, name: str, seals: Seals) -> Standing:
    digest = sha256_of(files.directory / name)
    entry = CATALOG.get(files.name)
    published = entry.digest(name) if entry is not None else None
    if published == digest:
        return "published"
    seal = seals.get(name)
    if seal is not None:
        return "sealed" if seal.sha256 == digest else "changed"
    return "unknown" if published is None else "other"
