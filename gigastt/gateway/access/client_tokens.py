"""Client tokens: the holder of a key gives one to a page or a program, which may then use the server for a while.

A token is signed and carries when it expires, whose key it was made with and what it is good for; the server keeps
nothing of it. It dies with its key.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gigastt.gateway.access.key_file import ApiKey
from gigastt.gateway.access.keys import ApiKeys
from gigastt.gateway.access.tokens import Tokens

TOKEN_PREFIX: Final = "ek_"  # as OpenAI's API has it
_PURPOSE: Final = "client"
_KEY_PURPOSE: Final = "key"


@dataclass(frozen=True, slots=True)
class Grant:
    """The rights of a request, by the key or the token that came with it.

    key: the key, or the one that the token was made with; None where no key is asked.
    session: the captions of this live session may be read, and nothing else done.
    realtime: Realtime sessions may be opened, which begin with these settings, and nothing else done.
    by_token: whether a token came.
    """

    key: ApiKey | None
    session: str | None = None
    realtime: Mapping[str, Any] | None = None
    by_token: bool = False


class ClientTokens:
    """Makes tokens and reads them.

    Args:
        keys: that are accepted; None where no key is asked.
        clock: the time of day, in seconds since 1970.
    """

    def __init__(self, tokens: Tokens, keys: ApiKeys | None, clock: Callable[[], float] = time.time) -> None:
        self._tokens = tokens
        self._keys = keys
        self._clock = clock

    def make(self, grant: Grant, seconds: int) -> tuple[str, int]:
        """Return a token for what a grant allows, and when it expires, in seconds since 1970."""
        expires_at = int(self._clock()) + seconds
        key = self._tokens.seal(_KEY_PURPOSE, grant.key.digest) if grant.key is not None else None
        payload = json.dumps(
            [expires_at, key, grant.session, grant.realtime], ensure_ascii=False, separators=(",", ":")
        )
        return TOKEN_PREFIX + self._tokens.sign(_PURPOSE, payload.encode()), expires_at

    def read(self, token: str | None) -> Grant | None:
        """Return what a token allows; None for one that is not ours, has expired, or whose key is gone."""
        if token is None or not token.startswith(TOKEN_PREFIX):
            return None
        payload = self._tokens.recognise(_PURPOSE, token.removeprefix(TOKEN_PREFIX))
        if payload is None:
            return None
        expires_at, seal, session, realtime = json.loads(payload)
        if self._clock() >= expires_at:
            return None
        accepted = self._keys.accepted if self._keys is not None else ()
        key = next((key for key in accepted if self._tokens.seal(_KEY_PURPOSE, key.digest) == seal), None)
        if key is None and self._keys is not None:
            return None
        return Grant(key, session, realtime, by_token=True)
