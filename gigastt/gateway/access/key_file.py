"""The file of API keys: read by the server, written by `gigastt keys`.

    # staff                     blank lines and comments are skipped
    alice:9f86d081884c7d65…     a name, and the SHA-256 of the key in hexadecimal digits
    a-key-as-clients-send-it    a key itself, without a name

No error repeats a line.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gigastt.errors import ConfigError
from gigastt.models.disk import replacing

_PLAIN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{8,512}")  # what RFC 6750 lets a bearer token hold
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAMED: Final = re.compile(rf"({_NAME.pattern}):([0-9a-fA-F]{{64}})")
_EXPECTED: Final = "expected NAME:SHA256 in 64 hexadecimal digits, or a key of 8 to 512 letters, digits or ._~+/=-"
_RANDOM_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that the server accepts: its SHA-256, and its name if it has one."""

    digest: bytes
    name: str | None = None

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


def add_key(path: Path, name: str) -> str:
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
    _write(path, [*(line for line, _ in lines), f"{name}:{key_digest(key).hex()}"])
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
        if named := _NAMED.fullmatch(entry):
            key = ApiKey(bytes.fromhex(named[2]), named[1])
            if named[1] in names:
                raise ConfigError(f"{path}, line {number}: another key is named {named[1]}.")
            names.add(named[1])
        elif entry and not entry.startswith("#"):
            if not _PLAIN.fullmatch(entry):
                raise ConfigError(f"{path}, line {number}: {_EXPECTED}")
            key = ApiKey(key_digest(entry))
        parsed.append((line, key))
    return parsed


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
