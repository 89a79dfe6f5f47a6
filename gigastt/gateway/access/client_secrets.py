"""Client secrets: what a server with a key gives to a page, so that the page can open sessions for a while.

A secret is a signed token that carries when it expires and what its sessions begin with; nothing is kept of it here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Final

from gigastt.gateway.access.tokens import Tokens

SECRET_PREFIX: Final = "ek_"
_PURPOSE: Final = "client_secret"


class ClientSecrets:
    """Makes secrets and reads them.

    Args:
        clock: the time of day, in seconds since 1970.
    """

    def __init__(self, tokens: Tokens, clock: Callable[[], float] = time.time) -> None:
        self._tokens = tokens
        self._clock = clock

    def make(self, session: dict[str, Any], seconds: int) -> tuple[str, int]:
        """Return a secret and when it expires, in seconds since 1970; `session` is read back as it is."""
        expires_at = int(self._clock()) + seconds
        payload = json.dumps([expires_at, session], ensure_ascii=False, separators=(",", ":")).encode()
        return SECRET_PREFIX + self._tokens.sign(_PURPOSE, payload), expires_at

    def read(self, secret: str | None) -> dict[str, Any] | None:
        """Return what a secret's sessions begin with; None for one that is not ours or has expired."""
        if secret is None or not secret.startswith(SECRET_PREFIX):
            return None
        payload = self._tokens.recognise(_PURPOSE, secret.removeprefix(SECRET_PREFIX))
        if payload is None:
            return None
        expires_at, session = json.loads(payload)
        return session if self._clock() < expires_at else None
