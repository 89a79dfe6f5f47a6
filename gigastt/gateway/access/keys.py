"""API keys, for a server that asks for one.

A key is presented as `Authorization: Bearer KEY`, or as the password of `Basic`, whatever the name, which is all that
telephone servers can send; or, by a page that opens a WebSocket and cannot set headers, as a subprotocol:
`gigastt.bearer.KEY`, `openai-insecure-api-key.KEY` of OpenAI's API, or `token, KEY` of Deepgram's; never
in a URL, which ends up in logs. Only SHA-256 digests are kept, and every one is compared, in constant time. Keys are
never logged.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gigastt.errors import ConfigError, Unauthorized
from gigastt.gateway.access.key_file import ApiKey, key_digest, read_keys
from gigastt.gateway.access.key_usage import KeyUsage

SUBPROTOCOL = "gigastt.v1"
BEARER_SUBPROTOCOL_PREFIX = "gigastt.bearer."
_VOSK_SUBPROTOCOL, _DEEPGRAM_SUBPROTOCOL = "ws", "token"
_TELEPHONE_SUBPROTOCOLS = ("media", "audio.drachtio.org", "audio.jambonz.org")  # of Asterisk and mod_audio_fork
_SCHEMES = ("bearer", "token")
_OPENAI_SUBPROTOCOL, _OPENAI_PREFIX = "realtime", "openai-insecure-api-key."
_PREFIXES = (BEARER_SUBPROTOCOL_PREFIX, _OPENAI_PREFIX)


@dataclass(frozen=True, slots=True)
class KeyChanges:
    """Labels of keys that were added and removed, and of those whose limits are others now."""

    added: list[str]
    removed: list[str]
    limited: list[str]


class ApiKeys:
    """All accepted keys, and what goes on under each. On the event loop."""

    def __init__(self, keys: Sequence[ApiKey], clock: Callable[[], float] = time.time) -> None:
        """Args:
        clock: the time of day, in seconds since 1970.
        """
        self._keys = tuple(keys)
        self._clock = clock
        self._usages = {key.digest: KeyUsage(key, clock) for key in keys}
        self._uses: dict[asyncio.Timeout, ApiKey] = {}

    @classmethod
    def load(cls, path: Path) -> ApiKeys:
        """Read a file of keys.

        Raises:
            ConfigError: it cannot be read, holds no key, or a line is wrong; the message names the line's number.
        """
        return cls(_read(path))

    @property
    def usages(self) -> Sequence[KeyUsage]:
        """The use of each key, in the order of the file."""
        return [self._usages[key.digest] for key in self._keys]

    @property
    def has_days(self) -> bool:
        """Whether a key has so many hours of audio a day."""
        return any(key.limits.audio_hours_per_day is not None for key in self._keys)

    def usage(self, key: ApiKey) -> KeyUsage:
        """Return what is done with an accepted key."""
        return self._usages[key.digest]

    def charge(self, owner: str, seconds: float) -> None:
        """Count audio of a key, by its `owner`. QuotaExceeded: it would be over the day's limit."""
        for usage in self._usages.values():
            if usage.key.owner == owner:
                usage.expect_audio(seconds)
                usage.hear(seconds)

    def reload(self, path: Path) -> KeyChanges:
        """Read the file again, end the sessions of keys that are gone, and return the differences.

        Raises:
            ConfigError: the file is wrong; nothing has changed.
        """
        old, self._keys = self._keys, tuple(_read(path))
        digests = {key.digest for key in self._keys}
        self._usages = {key.digest: self._usages.get(key.digest) or KeyUsage(key, self._clock) for key in self._keys}
        for key in self._keys:
            self._usages[key.digest].change_key(key)
        for use, key in list(self._uses.items()):
            if key.digest not in digests:
                del self._uses[use]
                use.reschedule(asyncio.get_running_loop().time())
        limits = {key.digest: key.limits for key in old}
        limited = [key.label for key in self._keys if limits.get(key.digest, key.limits) != key.limits]
        return KeyChanges(_missing(self._keys, old), _missing(old, self._keys), sorted(limited))

    @property
    def accepted(self) -> tuple[ApiKey, ...]:
        """Every key."""
        return self._keys

    def find(self, presented: str | None) -> ApiKey | None:
        """Compare with every key, in a time that tells nothing about how close one was; None: it is none of them."""
        digest = key_digest(presented or "")
        matches = [key for key in self._keys if hmac.compare_digest(digest, key.digest)]
        return matches[0] if presented is not None and matches else None

    @asynccontextmanager
    async def using(self, key: ApiKey) -> AsyncIterator[None]:
        """Run the body until the key is revoked, which cancels it.

        Raises:
            Unauthorized: it was revoked.
        """
        try:
            async with asyncio.timeout(None) as use:
                self._uses[use] = key
                try:
                    yield
                finally:
                    self._uses.pop(use, None)
        except TimeoutError as exc:
            if not use.expired():
                raise
            raise Unauthorized("The API key was revoked.") from exc


def bearer_token(authorizations: Sequence[str]) -> str | None:
    """Return the token of the one `Authorization` header, after `Bearer`, or `Token` of Deepgram's API."""
    if len(authorizations) != 1:
        return None
    scheme, _, token = authorizations[0].strip().partition(" ")
    if scheme.lower() == "basic":
        return _password(token.strip())
    return token.strip() if scheme.lower() in _SCHEMES and token.strip() else None


def _password(credentials: str) -> str | None:
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2] or None
    except ValueError:
        return None


def subprotocol_token(offered: Sequence[str]) -> str | None:
    """Return the key among the subprotocols that a WebSocket client offers."""
    if len(offered) == 2 and offered[0] == _DEEPGRAM_SUBPROTOCOL:
        return offered[1]
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

    The one of a protocol where it was offered, so that the key is not sent back; else the key's own.
    """
    known = (SUBPROTOCOL, _OPENAI_SUBPROTOCOL, _VOSK_SUBPROTOCOL, _DEEPGRAM_SUBPROTOCOL, *_TELEPHONE_SUBPROTOCOLS)
    for protocol in known:
        if protocol in offered:
            return protocol
    return next((protocol for protocol in offered if protocol.startswith(BEARER_SUBPROTOCOL_PREFIX)), None)


def _read(path: Path) -> list[ApiKey]:
    try:
        return read_keys(path)
    except ConfigError as exc:
        raise ConfigError(f"--api-keys-file {exc}") from exc


def _missing(keys: Sequence[ApiKey], among: Sequence[ApiKey]) -> list[str]:
    digests = {key.digest for key in among}
    return sorted(key.label for key in keys if key.digest not in digests)
