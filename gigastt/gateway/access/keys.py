"""API keys, for a server that asks for one.

The file has one key a line; blank lines and lines that begin with `#` are skipped. A key is presented as
`Authorization: Bearer KEY`, or, by a page that opens a WebSocket and cannot set headers, as a subprotocol:
`gigastt.bearer.KEY`, or `openai-insecure-api-key.KEY` of OpenAI's API; never in a URL, which ends up in logs.
Only SHA-256 digests are kept, and every one is compared, in constant time. Keys are never logged, and no error repeats
one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from pathlib import Path

from gigastt.errors import ConfigError

SUBPROTOCOL = "gigastt.v1"
BEARER_SUBPROTOCOL_PREFIX = "gigastt.bearer."
_OPENAI_SUBPROTOCOL, _OPENAI_PREFIX = "realtime", "openai-insecure-api-key."
_PREFIXES = (BEARER_SUBPROTOCOL_PREFIX, _OPENAI_PREFIX)

_KEY = re.compile(r"[A-Za-z0-9._~+/=-]{8,512}")  # what RFC 6750 lets a bearer token hold


class ApiKeys:
    """The digests of all accepted keys."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    @classmethod
    def load(cls, path: Path) -> ApiKeys:
        """Read a file of keys.

        Raises:
            ConfigError: it cannot be read, holds no key, or a line is not a key; the message names the line's number.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigError(f"--api-keys-file {path}: cannot be read as text.") from exc
        keys: list[str] = []
        for number, line in enumerate(map(str.strip, lines), start=1):
            if not line or line.startswith("#"):
                continue
            if not _KEY.fullmatch(line):
                raise ConfigError(
                    f"--api-keys-file {path}, line {number}: expected a key of 8 to 512 letters, digits or ._~+/=-"
                )
            keys.append(line)
        if not keys:
            raise ConfigError(f"--api-keys-file {path}: expected at least one key, one a line.")
        return cls(keys)

    def accepts(self, presented: str | None) -> bool:
        """Compare with every key, in a time that tells nothing about how close one was."""
        digest = _digest(presented or "")
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return presented is not None and any(matches)


def bearer_token(authorizations: Sequence[str]) -> str | None:
    """Return the token of the one `Authorization: Bearer` header."""
    if len(authorizations) != 1:
        return None
    scheme, _, token = authorizations[0].strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def subprotocol_token(offered: Sequence[str]) -> str | None:
    """Return the key among the subprotocols that a WebSocket client offers."""
    for protocol in offered:
        for prefix in _PREFIXES:
            if protocol.startswith(prefix):
                return protocol.removeprefix(prefix)
    return None


def presented_token(authorizations: Sequence[str], offered: Sequence[str]) -> str | None:
    """Return the key of a request: of its `Authorization` headers, or of the subprotocols of a WebSocket."""
    return bearer_token(authorizations) or subprotocol_token(offered)


def choose_subprotocol(offered: Sequence[str]) -> str | None:
    """Return the offered subprotocol to answer with: a browser hangs up when it offered some and got none.

    `gigastt.v1` or `realtime` where it was offered, so that the key is not sent back; else the key's own.
    """
    for protocol in (SUBPROTOCOL, _OPENAI_SUBPROTOCOL):
        if protocol in offered:
            return protocol
    return next((protocol for protocol in offered if protocol.startswith(BEARER_SUBPROTOCOL_PREFIX)), None)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
