"""References: recordings and what is said in them, in the forms in which people keep them.

a folder with `manifest.json` or `manifest.csv`; such a file by itself; a folder with talk.txt beside talk.wav
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gigastt.errors import ConfigError

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
