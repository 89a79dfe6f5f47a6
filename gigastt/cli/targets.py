"""Targets: the file that each transcript is written to, decided for all of them before the first is begun.

    talk.wav              OUT/talk.srt
    talk.wav, talk.mp3    OUT/talk.wav.srt, OUT/talk.mp3.srt        the same but for the ending
    a/rec.wav, b/rec.wav  OUT/a/rec.srt, OUT/b/rec.srt              the same name: folders below their common one

A transcript is written beside its name and renamed when it is whole.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, TypeVar

from gigastt.errors import ConfigError

STANDARD_INPUT = "-"

Repeated = TypeVar("Repeated", Path, str)


def plan_targets(files: Sequence[str], output_dir: Path, suffix: str) -> dict[str, Path]:
    """Return the path of each file's transcript.

    Args:
        files: paths, or `-`, as they were given.
        output_dir: the folder for all of them.
        suffix: of the transcripts, with its dot.

    Raises:
        ConfigError: two of them would be one file.
    """
    sources = [Path("stdin" if file == STANDARD_INPUT else os.path.abspath(file)) for file in files]  # noqa: PTH100
    folders = [Path()] * len(sources)
    if _repeated([source.name for source in sources]):
        common = os.path.commonpath([source.parent for source in sources if source.is_absolute()] or [Path()])
        folders = [source.parent.relative_to(common) if source.is_absolute() else Path() for source in sources]
    places = list(zip(folders, sources, strict=True))
    alike = _repeated([folder / source.stem for folder, source in places])
    targets = [
        output_dir / folder / ((source.name if folder / source.stem in alike else source.stem) + suffix)
        for folder, source in places
    ]
    if _repeated(targets):
        targets = [output_dir / folder / (source.name + suffix) for folder, source in places]
    for target in _repeated(targets):
        twice = files[targets.index(target)]
        raise ConfigError(f"{twice} is given twice: both transcripts would be {target}.")
    return dict(zip(files, targets, strict=True))


def prepare_targets(targets: Mapping[str, Path], *, overwrite: bool) -> None:
    """Make the folders, and check that no file would be lost.

    Raises:
        ConfigError: a folder cannot be made or written to, or a file is there already.
    """
    for source, target in targets.items():
        if target.exists() and Path(source).exists() and target.samefile(source):
            raise ConfigError(f"{target} would be overwritten by its own transcript. Choose another --output-dir.")
    there = [target for target in targets.values() if target.exists()]
    if there and not overwrite:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise ConfigError(f"{there[0]}{more} is there already. Choose another --output-dir, or add --overwrite.")
    for folder in dict.fromkeys(target.parent for target in targets.values()):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise ConfigError(f"--output-dir: cannot make the folder {folder}: {exc.strerror}.") from exc
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(f"--output-dir: may not write to {folder}.")


@contextmanager
def writing(
    target: Path, *, overwrite: bool, before_naming: Callable[[Path], None] = lambda unfinished: None
) -> Iterator[TextIO]:
    """Yield a file to write; it gets its name when it is complete, and is gone if it never is.

    Args:
        target: the name.
        overwrite: whether a file of that name may be replaced.
        before_naming: is called with the complete file's path.

    Raises:
        FileExistsError: another file has got the name meanwhile.
    """
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.part")
    with unfinished.open("x", encoding="utf-8") as file:
        try:
            yield file
            file.close()
            before_naming(unfinished)
            if overwrite:
                unfinished.replace(target)
            else:
                _name_new(unfinished, target)
        finally:
            unfinished.unlink(missing_ok=True)


def _name_new(unfinished: Path, target: Path) -> None:
    """Give a file a name that must be free: in one step by a hard link, if the disk has such links."""
    try:
        target.hardlink_to(unfinished)
    except OSError:
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        unfinished.replace(target)


def _repeated(items: Sequence[Repeated]) -> list[Repeated]:
    return [item for item, count in Counter(items).items() if count > 1]
