"""Secrets of Realtime sessions: `POST /v1/realtime/client_secrets`, and the beta's `…/transcription_sessions`."""

from __future__ import annotations

import secrets
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gigastt.errors import InvalidParameter
from gigastt.gateway.access.client_tokens import ClientTokens, Grant
from gigastt.gateway.api.realtime_settings import Fields, RealtimeSettings
from gigastt.gateway.api.token_requests import grant_of, read_seconds
from gigastt.gateway.requests import read_json
from gigastt.gateway.responses import JSONResponse

SECONDS: Final = (10, 7_200)  # the least and the most that a secret lasts
_ANCHOR: Final = "created_at"
MOST_BYTES: Final = 64 * 1024


class RealtimeSecrets:
    """The two routes."""

    def __init__(self, client_tokens: ClientTokens) -> None:
        self._client_tokens = client_tokens

    async def create(self, request: Request) -> Response:
        """`POST /v1/realtime/client_secrets`."""
        asked = await read_json(request, MOST_BYTES)
        settings = RealtimeSettings().change(asked.get("session", {}))
        value, expires_at = self._make(
            grant_of(request, realtime=settings.fields()), asked, "expires_after", "expires_after"
        )
        session = {**_identity(), "expires_at": 0, **settings.fields()}
        return JSONResponse({"value": value, "expires_at": expires_at, "session": session})

    async def create_as_in_beta(self, request: Request) -> Response:
        """`POST /v1/realtime/transcription_sessions`."""
        asked = await read_json(request, MOST_BYTES)
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
        return self._client_tokens.make(grant, read_seconds(after, f"{name}.seconds", SECONDS))


def _object(asked: Fields, field: str, name: str) -> Fields:
    """Return a field that is an object, an empty one where it is absent."""
    found = asked.get(field, {})
    if not isinstance(found, dict):
        raise InvalidParameter(f"{field} must be an object.", param=name)
    return found


def _identity() -> Fields:
    return {"id": f"sess_{secrets.token_hex(16)}", "object": "realtime.transcription_session"}
