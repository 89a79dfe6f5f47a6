"""Requests for client tokens: `POST /v1/tokens`, and those for secrets of Realtime sessions, today's and the beta's."""

from __future__ import annotations

import re
import secrets
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gigastt.errors import InvalidParameter, Unauthorized
from gigastt.gateway.access.client_tokens import ClientTokens, Grant
from gigastt.gateway.api.realtime_settings import Fields, RealtimeSettings
from gigastt.gateway.requests import exchange_of, read_json
from gigastt.gateway.responses import JSONResponse

DEFAULT_SECONDS: Final = 600
_SECONDS: Final = (10, 86_400)  # a day: captions of a long meeting
_MOST_BYTES: Final = 4 * 1024
_REALTIME_SECONDS: Final = (10, 7_200)
_MOST_REALTIME_BYTES: Final = 64 * 1024
_ANCHOR: Final = "created_at"
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


class RealtimeSecrets:
    """The two routes."""

    def __init__(self, client_tokens: ClientTokens) -> None:
        self._client_tokens = client_tokens

    async def create(self, request: Request) -> Response:
        """`POST /v1/realtime/client_secrets`."""
        asked = await read_json(request, _MOST_REALTIME_BYTES)
        settings = RealtimeSettings().change(asked.get("session", {}))
        value, expires_at = self._make(
            grant_of(request, realtime=settings.fields()), asked, "expires_after", "expires_after"
        )
        session = {**_identity(), "expires_at": 0, **settings.fields()}
        return JSONResponse({"value": value, "expires_at": expires_at, "session": session})

    async def create_as_in_beta(self, request: Request) -> Response:
        """`POST /v1/realtime/transcription_sessions`."""
        asked = await read_json(request, _MOST_REALTIME_BYTES)
        settings = RealtimeSettings().change(asked)
        after = _object(asked, "client_secret", "client_secret").get("expires_at", {})
        grant = grant_of(request, realtime=settings.fields())
        value, expires_at = self._make(grant, {"expires_at": after}, "expires_at", "client_secret.expires_at")
        secret = {"value": value, "expires_at": expires_at}
        return JSONResponse({**_identity(), **settings.beta_fields(), "client_secret": secret})

    def _make(self, grant: Grant, asked: Fields, field: str, name: str) -> tuple[str, int]:
        after = _object(asked, field, name)
        if after.get("anchor", _ANCHOR) != _ANCHOR:
            raise InvalidParameter(f"anchor must be {_ANCHOR}.", param=f"{name}.anchor")
        return self._client_tokens.make(grant, read_seconds(after, f"{name}.seconds", _REALTIME_SECONDS))


def _object(asked: Fields, field: str, name: str) -> Fields:
    """Return a field that is an object, an empty one where it is absent."""
    found = asked.get(field, {})
    if not isinstance(found, dict):
        raise InvalidParameter(f"{field} must be an object.", param=name)
    return found


def _identity() -> Fields:
    return {"id": f"sess_{secrets.token_hex(16)}", "object": "realtime.transcription_session"}
