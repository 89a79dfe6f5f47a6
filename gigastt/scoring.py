"""Scoring: how far transcripts are from their references, in words and in characters; behind `gigastt eval`.

References are kept in the forms in which people keep them: a folder with `manifest.json` or `manifest.csv`; such a file
by itself; a folder with talk.txt beside talk.wav. The rest are pure functions over text.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gigastt.errors import ConfigError

_NOT_WORDS = re.compile(r"[^\w\s]+")


@dataclass(frozen=True, slots=True)
class Pair:
    """A word of the reference and the one heard for it; None where one was left out or put in."""

    wanted: str | None
    heard: str | None


@dataclass(frozen=True, slots=True)
class Score:
    """Errors (to replace, leave out or put in) over the length of the reference."""

    errors: int = 0
    length: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(self.errors + other.errors, self.length + other.length)

    @property
    def rate(self) -> float | None:
        """Errors for each word or character wanted; None where none was."""
        return round(self.errors / self.length, 4) if self.length else None


def normalise(text: str) -> str:
    """Reduce a text to what is compared without case and punctuation; ё is е."""
    return " ".join(_NOT_WORDS.sub(" ", text.lower().replace("ё", "е")).split())


def align(wanted: Sequence[str], heard: Sequence[str]) -> list[Pair]:
    """Pair two sequences with the fewest errors, in order."""
    rows = [list(range(len(heard) + 1))]
    for number, word in enumerate(wanted, 1):
        above, row = rows[-1], [number]
        for at, other in enumerate(heard, 1):
            row.append(min(row[at - 1] + 1, above[at] + 1, above[at - 1] + (word != other)))
        rows.append(row)
    pairs: list[Pair] = []
    number, at = len(wanted), len(heard)
    while number or at:
        errors = rows[number][at]
        if number and at and errors == rows[number - 1][at - 1] + (wanted[number - 1] != heard[at - 1]):
            number, at = number - 1, at - 1
            pairs.append(Pair(wanted[number], heard[at]))
        elif number and errors == rows[number - 1][at] + 1:
            number -= 1
            pairs.append(Pair(wanted[number], None))
        else:
            at -= 1
            pairs.append(Pair(None, heard[at]))
    return pairs[::-1]


def score(wanted: Sequence[str], heard: Sequence[str]) -> Score:
    """Count the errors between two sequences, of words or of characters."""
    return Score(sum(pair.wanted != pair.heard for pair in align(wanted, heard)), len(wanted))


FILE_FIELDS = ("filename", "file", "path", "audio_filepath", "audio", "wav")
TEXT_FIELDS = ("reference", "text", "sentence", "transcript", "transcription")


@dataclass(frozen=True, slots=True)
class Reference:
    """A recording, its name in the list, and its text."""

    name: str
    path: Path
    text: str


def read_references(source: Path) -> list[Reference]:
    """Read the references of a folder or a list.

    Raises:
        ConfigError: there are none, or a row lacks its file or its text.
    """
    if source.is_dir():
        lists = [source / name for name in ("manifest.json", "manifest.csv") if (source / name).is_file()]
        found = _read_list(lists[0]) if lists else _read_beside(source)
    else:
        found = _read_list(source)
    if not found:
        raise ConfigError(f"{source}: no recording with a text was found: a manifest, or talk.txt beside talk.wav.")
    return found


def _read_list(path: Path) -> list[Reference]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".csv":
            rows: Iterable[Any] = csv.DictReader(text.splitlines())
        elif text.lstrip().startswith("["):
            rows = json.loads(text)
        else:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{path}: expected a list in JSON, JSON lines or CSV: {exc}.") from exc
    return [_reference(row, path, number) for number, row in enumerate(rows, 1)]


def _reference(row: Any, path: Path, number: int) -> Reference:
    name, text = (_first(row, fields) if isinstance(row, Mapping) else None for fields in (FILE_FIELDS, TEXT_FIELDS))
    if name is None or text is None:
        expected = f"one of {', '.join(FILE_FIELDS)} and one of {', '.join(TEXT_FIELDS)}"
        raise ConfigError(f"{path}: row {number} lacks its file or its text: expected {expected}.")
    return Reference(name, path.parent / name, text)


def _first(row: Mapping[str, Any], fields: Iterable[str]) -> str | None:
    return next((row[field] for field in fields if isinstance(row.get(field), str)), None)


def _read_beside(folder: Path) -> list[Reference]:
    found = []
    for path in sorted(folder.rglob("*")):
        text = path.with_suffix(".txt")
        if path.suffix.lower() != ".txt" and path.is_file() and text.is_file():
            content = text.read_text(encoding="utf-8-sig")
            found.append(Reference(path.relative_to(folder).as_posix(), path, " ".join(content.split())))
    return found
