"""Hotwords: phrases that are expected to be heard, as clients and operators write them down.

Pure but for reading a file. What the recogniser makes of them is in `speech.phrases`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gigastt.client_json import parse_json
from gigastt.errors import ConfigError, InvalidHotwords
from gigastt.transcript import Hotword

MOST_HOTWORDS = 500
LONGEST_PHRASE = 100  # characters
MOST_CHARACTERS = 20_000  # of all phrases
MOST_WEIGHT = 3.0
_MOST_TEXT = 64 * 1024  # of a list written as text, which is looked at
_EXPECTED = (
    f"hotwords must be a list of at most {MOST_HOTWORDS} phrases of {LONGEST_PHRASE} characters, {MOST_CHARACTERS} in "
    f"all; a phrase is a text, or an object with phrase and a weight from 0 to {MOST_WEIGHT:g}."
)


def read_hotwords(value: object) -> tuple[Hotword, ...]:
    """Return what a client's field says: a list, or a text, which is JSON or has commas or line breaks between phrases.

    Raises:
        InvalidHotwords: it is no such list, or one over the limits.
    """
    items = _split(value) if isinstance(value, str) else value
    if not isinstance(items, list) or len(items) > MOST_HOTWORDS:
        raise InvalidHotwords(_EXPECTED, param="hotwords")
    found: dict[str, Hotword] = {}
    for item in items:
        hotword = _read(item)
        found[hotword.phrase.casefold()] = hotword
    if sum(map(len, found)) > MOST_CHARACTERS:
        raise InvalidHotwords(_EXPECTED, param="hotwords")
    return tuple(hotword for hotword in found.values() if hotword.phrase and hotword.weight)


def fit_hotwords(lists: Iterable[tuple[object, float]]) -> tuple[Hotword, ...]:
    """Return as many of some phrases, from the first on, as the limits allow; what is no phrase is left out.

    Args:
        lists: of texts, with the weight of each list.
    """
    found: dict[str, Hotword] = {}
    characters = 0
    for phrases, weight in lists:
        for phrase in phrases if isinstance(phrases, list) else ():
            if not isinstance(phrase, str) or len(phrase) > LONGEST_PHRASE or not phrase.strip():
                continue
            characters += len(phrase)
            if len(found) == MOST_HOTWORDS or characters > MOST_CHARACTERS:
                break
            found.setdefault(phrase.casefold(), Hotword(phrase, weight))
    return tuple(found.values())


def read_hotwords_file(path: Path) -> tuple[Hotword, ...]:
    """Return the phrases of a file in UTF-8: one a line, a tab and its weight behind it if it has one; # for remarks.

    Raises:
        ConfigError: it cannot be read, or a line is wrong.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"Cannot read the hotwords of {path}: {exc}") from exc
    items: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        phrase, tab, weight = line.partition("\t")
        if not phrase.strip() or phrase.lstrip().startswith("#"):
            continue
        try:
            items.append({"phrase": phrase, "weight": float(weight) if tab else 1.0})
            _read(items[-1])
        except (ValueError, InvalidHotwords) as exc:
            raise ConfigError(f"Line {number} of {path} is no phrase with a weight from 0 to {MOST_WEIGHT:g}.") from exc
    try:
        return read_hotwords(items)
    except InvalidHotwords as exc:
        raise ConfigError(f"{path}: {exc}") from exc


def unusable(hotwords: Iterable[Hotword], alphabet: str) -> list[str]:
    """Return the phrases that a model cannot write, which has these letters."""
    return [hotword.phrase for hotword in hotwords if not (letters := _letters(hotword)) or not letters <= {*alphabet}]


def fold(text: str) -> str:
    """Return a text as phrases are compared: small letters and digits, everything else a space."""
    return "".join(letter if letter.isalnum() else " " for letter in text.casefold().replace("ё", "е"))


def _letters(hotword: Hotword) -> set[str]:
    return {*fold(hotword.phrase)} - {" "}


def _split(text: str) -> Sequence[Any] | None:
    """Return the items of a list that is written as text."""
    if len(text) > _MOST_TEXT:
        return None
    if not text.lstrip().startswith("["):
        return [phrase for line in text.splitlines() for phrase in line.split(",") if phrase.strip()]
    try:
        items = parse_json(text)
    except ValueError:
        return None
    return items if isinstance(items, list) else None


def _read(item: object) -> Hotword:
    match item:
        case str(phrase):
            weight = 1.0
        case {"phrase": str(phrase), "weight": int() | float() as weight, **rest} if not rest:
            pass
        case {"phrase": str(phrase), **rest} if not rest:
            weight = 1.0
        case _:
            raise InvalidHotwords(_EXPECTED, param="hotwords")
    phrase = " ".join(phrase.split()) if len(phrase) <= _MOST_TEXT else phrase
    if isinstance(weight, bool) or not (math.isfinite(weight) and 0 <= weight <= MOST_WEIGHT):
        raise InvalidHotwords(_EXPECTED, param="hotwords")
    if len(phrase) > LONGEST_PHRASE:
        raise InvalidHotwords(_EXPECTED, param="hotwords")
    return Hotword(phrase, float(weight))
