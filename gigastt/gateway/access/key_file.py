"""The file of API keys: read by the server, written by `gigastt keys`.

    # staff                     blank lines and comments are skipped
    alice:9f86d081884c7d65…     a name, and the SHA-256 of the key in hexadecimal digits
    bob:60303ae22b998861… sessions=4 requests-per-minute=120 audio-hours-per-day=8
    a-key-as-clients-send-it    a key itself, without a name

No error repeats a line.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from gigastt.errors import ConfigError
from gigastt.models.disk import replacing

_PLAIN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{8,512}")  # what RFC 6750 lets a bearer token hold
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAMED: Final = re.compile(rf"({_NAME.pattern}):([0-9a-fA-F]{{64}})")
_EXPECTED: Final = "expected NAME:SHA256 in 64 hexadecimal digits, or a key of 8 to 512 letters, digits or ._~+/=-"
_EXPECTED_LIMITS: Final = (
    "after NAME:SHA256 expected limits, each once and above 0: "
    "sessions=N, requests-per-minute=N, audio-hours-per-day=HOURS"
)
_COUNT: Final = re.compile(r"[1-9][0-9]{0,8}")
_HOURS: Final = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,6})?")
_RANDOM_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """How much may be used with a key; None is any amount."""

    sessions: int | None = None  # live ones at once
    requests_per_minute: int | None = None
    audio_hours_per_day: float | None = None

    def __str__(self) -> str:
        """The limits as the file has them."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return " ".join(f"{name.replace('_', '-')}={value:g}" for name, value in values.items() if value is not None)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that the server accepts: its SHA-256, its name if it has one, and its limits."""

    digest: bytes
    name: str | None = None
    limits: KeyLimits = KeyLimits()

    @property
    def owner(self) -> str:
        """The key's name, or its digest: its use is kept under this."""
        return self.name or self.digest.hex()

    @property
    def label(self) -> str:
        """The name, or a word for keys without one."""
        return self.name or "(without a name)"


def key_digest(key: str) -> bytes:
    """Return the SHA-256 of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def read_keys(path: Path) -> list[ApiKey]:
    """Read a file of keys.

    Raises:
        ConfigError: it cannot be read, holds no key, or a line is wrong; the message names the line's number.
    """
    keys = [key for _, key in _parse(path, _read(path)) if key is not None]
    if not keys:
        raise ConfigError(f"{path}: expected at least one key, one a line.")
    return keys


def add_key(path: Path, name: str, limits: KeyLimits = KeyLimits()) -> str:
    """Make a key, put its digest into a file, which need not be there yet, and return the key.

    Raises:
        ConfigError: the name is no name or is there already, or the file cannot be read or written.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name[:80]!a}: expected a name of 1 to 64 letters, digits, - or _.")
    lines = _parse(path, _read(path) if path.exists() else "")
    if any(key is not None and key.name == name for _, key in lines):
        raise ConfigError(f"{path}: there is a key named {name}. Choose another name, or revoke that one first.")
    key = secrets.token_urlsafe(_RANDOM_BYTES)
    _write(path, [*(line for line, _ in lines), f"{name}:{key_digest(key).hex()} {limits}".rstrip()])
    return key


def revoke_key(path: Path, name: str) -> None:
    """Take a key out of a file.

    Raises:
        ConfigError: no key has that name, it is the last one, or the file cannot be read or written.
    """
    lines = _parse(path, _read(path))
    left = [(line, key) for line, key in lines if key is None or key.name != name]
    if len(left) == len(lines):
        raise ConfigError(f"{path}: no key is named {name[:80]!a}.")
    if all(key is None for _, key in left):
        raise ConfigError(f"{path}: {name} is the last key, and a server must have one. Add another first.")
    _write(path, [line for line, _ in left])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: cannot be read as text.") from exc


def _parse(path: Path, text: str) -> list[tuple[str, ApiKey | None]]:
    """Return every line with its key; None for blank lines and comments."""
    parsed: list[tuple[str, ApiKey | None]] = []
    names: set[str] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.strip()
        key: ApiKey | None = None
        first, *rest = entry.split() or [""]
        if named := _NAMED.fullmatch(first):
            limits = _parse_limits(rest)
            if limits is None:
                raise ConfigError(f"{path}, line {number}: {_EXPECTED_LIMITS}.")
            key = ApiKey(bytes.fromhex(named[2]), named[1], limits)
            if named[1] in names:
                raise ConfigError(f"{path}, line {number}: another key is named {named[1]}.")
            names.add(named[1])
        elif entry and not entry.startswith("#"):
            if not _PLAIN.fullmatch(entry):
                raise ConfigError(f"{path}, line {number}: {_EXPECTED}")
            key = ApiKey(key_digest(entry))
        parsed.append((line, key))
    return parsed


def _parse_limits(words: Sequence[str]) -> KeyLimits | None:
    """Return the limits behind a key; None if they are wrong."""
    found: dict[str, int | float] = {}
    for word in words:
        name, _, value = word.partition("=")
        if name in found:
            return None
        if name in ("sessions", "requests-per-minute") and _COUNT.fullmatch(value):
            found[name] = int(value)
        elif name == "audio-hours-per-day" and _HOURS.fullmatch(value) and float(value) > 0:
            found[name] = float(value)
        else:
            return None
    return KeyLimits(**{name.replace("-", "_"): value for name, value in found.items()})  # type: ignore[arg-type]


def _write(path: Path, lines: list[str]) -> None:
    """Replace the file in one step; an old one's owner and group, and the group's right to read it, stay."""
    target = path.resolve()
    try:
        old = target.stat() if target.exists() else None
        mode = 0o600 if old is None else 0o600 | old.st_mode & 0o040
        with replacing(target, mode) as temporary:
            temporary.write_text("\n".join([*lines, ""]), encoding="utf-8")
            if old is not None:
                os.chown(temporary, old.st_uid, old.st_gid)
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be written: {exc.strerror}.") from exc
