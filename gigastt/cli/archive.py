"""Archives: the files of folders, and the list of what has been done of them, by which a run resumes another.

The list is `.gigastt.jsonl` in the output folder: a JSON object a line, appended, and locked by the run that writes it.
Helpers of a run, on whatever machine, have lists of their own (`.gigastt.NAME.jsonl`), which the next run takes over.

    {"target":"a/talk.wav.txt","size":96044,"mtime_ns":1700000000000000000,"sha256":"…"}     before it gets its name
    {"target":"a/noise.bin.txt","error":"The file is no audio."}

A transcript that is there and not in the list is somebody else's, and stays as it is. So does one that was changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from gigastt.errors import ConfigError

MANIFEST = ".gigastt.jsonl"
PARTS = ".gigastt.*.jsonl"
SECONDS_BETWEEN_LOOKS = 2.0


def find_files(names: Sequence[str], output_dir: Path | None, *, may_be_empty: bool = False) -> list[str]:
    """Return the files given, and those in the folders given, at any depth; hidden ones and the output are left out.

    Raises:
        ConfigError: a folder cannot be read, or there is no file and there must be one.
    """
    found: list[str] = []
    for name in names:
        found += _walk(name, output_dir) if os.path.isdir(name) else [name]  # noqa: PTH112
    if not found and not may_be_empty:
        raise ConfigError(f"There is no file in {', '.join(names)}.")
    return found


def _walk(folder: str, left_out: Path | None) -> list[str]:
    def refuse(exc: OSError) -> None:
        raise ConfigError(f"{exc.filename}: {exc.strerror}.") from exc

    files: list[str] = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        there = sorted(name for name in folders if not name.startswith("."))
        folders[:] = [name for name in there if left_out is None or Path(parent, name).resolve() != left_out.resolve()]
        files += [os.path.join(parent, name) for name in sorted(names) if not name.startswith(".")]  # noqa: PTH118
    return files


def mirror_targets(files: Sequence[str], names: Sequence[str], output_dir: Path, suffix: str) -> dict[str, Path]:
    """Return the path of each file's transcript: its folders below those given, its whole name and the suffix.

    So it is the same whatever else is in the folders.

    Raises:
        ConfigError: two of them would be one file.
    """
    roots = [Path(os.path.abspath(name)) for name in names]  # noqa: PTH100
    common = Path(os.path.commonpath([root if root.is_dir() else root.parent for root in roots]))
    targets: dict[str, Path] = {}
    for file in files:
        source = Path(os.path.abspath(file))  # noqa: PTH100
        target = output_dir / source.parent.relative_to(common) / (source.name + suffix)
        if target in targets.values():
            raise ConfigError(f"{file} is given twice: both transcripts would be {target}.")
        targets[file] = target
    return targets


class SourceStamp(NamedTuple):
    """Size and time of a source, by which a change is noticed."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> SourceStamp:
        """Return that of a file."""
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns)


async def watch_files(find: Callable[[], Sequence[str]], seconds: float = SECONDS_BETWEEN_LOOKS) -> AsyncIterator[str]:
    """Yield each file that is found once its size and time are the same at two looks, and again when it has changed.

    Args:
        find: looks for files.
        seconds: between two looks.
    """
    before: dict[str, SourceStamp] = {}
    told: dict[str, SourceStamp] = {}
    while True:
        now: dict[str, SourceStamp] = {}
        for name in find():
            with contextlib.suppress(OSError):  # gone again
                now[name] = SourceStamp.of(Path(name))
        for name, stamp in now.items():
            if before.get(name) == stamp and told.get(name) != stamp:
                told[name] = stamp
                yield name
        before = now
        await asyncio.sleep(seconds)


class Manifest:
    """The list of one output folder. Use `open_manifest`."""

    def __init__(self, folder: Path, file: TextIO) -> None:
        self._folder = folder
        self._file = file
        self._written: dict[str, dict[str, Any]] = {}
        self.read_again()
        if line_is_torn(file):
            file.write("\n")

    def is_done(self, source: SourceStamp, target: Path) -> bool:
        """Tell whether a source's transcript is there, and the source is as it was.

        Raises:
            FileExistsError: there is a transcript that is not of this list, or not as it was.
        """
        entry = self._written.get(self._name(target))
        if not target.exists():
            return False
        if entry is None or entry["sha256"] != _digest(target):
            raise FileExistsError(errno.EEXIST, "is there already, and not as this command wrote it", str(target))
        return SourceStamp(entry["size"], entry["mtime_ns"]) == source

    def record(self, source: SourceStamp, target: Path, unfinished: Path) -> None:
        """Note a whole transcript before it gets its name."""
        digest = _digest(unfinished)
        self._append({"target": self._name(target), **source._asdict(), "sha256": digest})

    def record_error(self, target: Path, reason: str) -> None:
        """Note why a file has no transcript."""
        self._append({"target": self._name(target), "error": reason})

    def remove_unfinished(self, target: Path) -> None:
        """Remove the unfinished files of a transcript that killed runs have left; no other run is on its way."""
        for part in target.parent.glob(f".{_escape(target.name)}.*.part"):
            part.unlink(missing_ok=True)

    def read_again(self) -> None:
        """Take note of what others have listed meanwhile."""
        for path in [self._folder / MANIFEST, *self._folder.glob(PARTS)]:
            with contextlib.suppress(FileNotFoundError):
                entries = _entries(path.read_text(encoding="utf-8", errors="surrogateescape"))
                self._written |= {entry["target"]: entry for entry in entries if "sha256" in entry}

    def take_over_parts(self) -> None:
        """Append what helpers of an earlier run have listed, and remove their lists; no other run is on its way."""
        for part in self._folder.glob(PARTS):
            for entry in _entries(part.read_text(encoding="utf-8", errors="surrogateescape")):
                self._append(entry)
            part.unlink()

    def _append(self, entry: dict[str, Any]) -> None:
        self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        self._file.flush()

    def _name(self, target: Path) -> str:
        return target.relative_to(self._folder).as_posix()


@contextmanager
def open_manifest(folder: Path) -> Iterator[Manifest]:
    """Open the list of an output folder, for one run at a time.

    Raises:
        ConfigError: another run has it, or the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / MANIFEST).open("a+", encoding="utf-8", errors="surrogateescape")
    except OSError as exc:
        raise ConfigError(f"--output-dir: cannot write to {folder}: {exc.strerror}.") from exc
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise ConfigError(f"--resume: another run writes to {folder} now.") from exc
        manifest = Manifest(folder, file)
        manifest.take_over_parts()
        yield manifest


@contextmanager
def open_part(folder: Path, name: str) -> Iterator[Manifest]:
    """Open the list of a helper of the run that has the folder's own one."""
    with (folder / PARTS.replace("*", name)).open("a+", encoding="utf-8", errors="surrogateescape") as file:
        yield Manifest(folder, file)


def _entries(text: str) -> Iterator[dict[str, Any]]:
    for line in text.split("\n"):
        with contextlib.suppress(ValueError):  # a run that was killed may leave half a line
            entry = json.loads(line)
            if isinstance(entry, dict) and "target" in entry:
                yield entry


def line_is_torn(file: TextIO) -> bool:
    """Tell whether a file that was read to its end does not end with a line break."""
    size = os.fstat(file.fileno()).st_size
    return size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _escape(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)
