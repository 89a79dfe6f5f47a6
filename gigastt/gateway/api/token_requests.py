"""Requests for client tokens: `POST /v1/tokens`, and how long any token may last."""

from __future__ import annotations

import re
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gigastt.errors import InvalidParameter, Unauthorized
from gigastt.gateway.access.client_tokens import ClientTokens, Grant
from gigastt.gateway.requests import exchange_of, read_json
from gigastt.gateway.responses import JSONResponse

DEFAULT_SECONDS: Final = 600
_SECONDS: Final = (10, 86_400)  # a day: captions of a long meeting
_MOST_BYTES: Final = 4 * 1024
_SESSION: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class TokenRequests:
    """The route."""

    def __init__(self, client_tokens: ClientTokens) -> None:
        self._client_tokens = client_tokens

    async def create(self, request: Request) -> Response:
        """`POST /v1/tokens`."""
        asked = await read_json(request, _MOST_BYTES)
        session = asked.get("session")
        if session is not None and not (isinstance(session, str) and _SESSION.fullmatch(session)):
            raise InvalidParameter("session must be the id of a session.", param="session")
        grant = exchange_of(request.scope).grant
        if session is None and grant is not None and grant.by_token:
            raise Unauthorized("A token makes tokens for the captions of a session only; an API key makes others.")
        seconds = read_seconds(asked, "seconds", _SECONDS)
        token, expires_at = self._client_tokens.make(grant_of(request, session=session), seconds)
        return JSONResponse({"token": token, "expires_at": expires_at})


def grant_of(request: Request, **allows: Any) -> Grant:
    """Return a grant, by the key of a request, for what a token is to allow."""
    grant = exchange_of(request.scope).grant
    return Grant(grant.key if grant is not None else None, **allows)


def read_seconds(asked: dict[str, Any], name: str, limits: tuple[int, int]) -> int:
    """Return how long a token is to last; the last part of `name` is the field.

    Raises:
        InvalidParameter: it is no number between the limits.
    """
    seconds = asked.get(name.rpartition(".")[2], DEFAULT_SECONDS)
    least, most = limits
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not least <= seconds <= most:
        raise InvalidParameter(f"seconds must be a number from {least} to {most}.", param=name)
    return int(seconds)
