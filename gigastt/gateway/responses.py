"""Responses: the one JSON shape of every error, from every layer, over HTTP and before a WebSocket upgrade.

    {"error": "text for people", "code": "exact_code", "retry_after_ms": 1000}

Paths that speak another server's protocol have that one's shape: `ErrorFields`. `retry_after_ms` and its header
`Retry-After` are on everything transient. An error that is not meant for clients becomes `internal`, so that nothing of
the server's inside gets out. Runs on the event loop.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, get_args

from starlette import responses
from starlette.responses import Response
from starlette.types import Message, Scope, Send

from gigastt.errors import InternalError, InvalidParameter, RequestError, Unauthorized, UpgradeRequired
from gigastt.rendering import MEDIA_TYPES, TranscriptForm

ErrorFields: TypeAlias = Callable[[RequestError], Mapping[str, Any]]  # renders an error as the body of an answer

_FEW: Final = 32  # utterances of which JSON is made at once
_DEFAULT_RETRY_AFTER_MS: Final = 1_000
_TRANSIENT_STATUSES: Final = (429, 503)
# Made once: `json.dumps` makes an encoder for each text.
_encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_INTERNAL: Final = InternalError(
    "Something went wrong inside the server. Its log has the cause, under this request's id."
)


class JSONResponse(responses.JSONResponse):
    """A JSON body in UTF-8, Cyrillic as it is, never stored by caches."""

    def __init__(self, content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(content, status, {"cache-control": "no-store", **(headers or {})})


class LongJSONResponse(JSONResponse):
    """One with a whole transcript; to be made in a thread, which others need not wait for."""

    def render(self, content: Any) -> bytes:
        return "".join(_json_pieces(content)).encode()


def json_text(content: Any) -> str:
    """Return compact JSON; a number that JSON lacks (NaN) is an error."""
    return _encode(content)


def _json_pieces(content: Any) -> Iterator[str]:
    """Yield compact JSON; long lists in pieces: while one is made, no other thread runs."""
    if isinstance(content, dict):
        for number, (name, value) in enumerate(content.items()):
            yield f"{',' if number else '{'}{json_text(name)}:"
            yield from _json_pieces(value)
        yield "}" if content else "{}"
    elif isinstance(content, list) and len(content) <= _FEW:
        yield "["
        for number, value in enumerate(content):
            yield "," if number else ""
            yield from _json_pieces(value)
        yield "]"
    elif isinstance(content, list):
        for begin in range(0, len(content), _FEW):
            yield f"{',' if begin else '['}{json_text(content[begin : begin + _FEW])[1:-1]}"
        yield "]"
    else:
        yield json_text(content)


def public_error(exc: Exception) -> RequestError:
    """Return what a client may be told of an error."""
    return exc if isinstance(exc, RequestError) else _INTERNAL


def _retry_after_ms(exc: RequestError) -> int | None:
    """Return when to try again; None if that is of no use."""
    if exc.retry_after_ms is not None:
        return exc.retry_after_ms
    return _DEFAULT_RETRY_AFTER_MS if exc.status in _TRANSIENT_STATUSES else None


def error_fields(exc: RequestError) -> dict[str, str | int]:
    """Return the body of an error."""
    fields: dict[str, str | int] = {"error": str(exc), "code": exc.code}
    retry = _retry_after_ms(exc)
    if retry is not None:
        fields["retry_after_ms"] = retry
    return fields


def error_response(exc: RequestError, fields: ErrorFields = error_fields) -> JSONResponse:
    """Return an error as a response, with the headers that belong to it."""
    headers: dict[str, str] = {}
    retry = _retry_after_ms(exc)
    if retry is not None:
        headers["retry-after"] = str(max(1, math.ceil(retry / 1000)))
    if isinstance(exc, Unauthorized):
        headers["www-authenticate"] = 'Bearer realm="gigastt"'
    if isinstance(exc, UpgradeRequired):
        headers["upgrade"] = "websocket"
        headers["connection"] = "upgrade"
    return JSONResponse(fields(exc), exc.status, headers)


async def send_response(scope: Scope, send: Send, response: Response) -> None:
    """Answer a request, or refuse a WebSocket before its upgrade with an ordinary HTTP response."""
    prefix = "websocket." if scope["type"] == "websocket" else ""
    if prefix and "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    start: Message = {
        "type": f"{prefix}http.response.start",
        "status": response.status_code,
        "headers": response.raw_headers,
    }
    await send(start)
    await send({"type": f"{prefix}http.response.body", "body": bytes(response.body), "more_body": False})


async def send_error(scope: Scope, send: Send, exc: Exception, fields: ErrorFields = error_fields) -> None:
    """Answer with an error."""
    await send_response(scope, send, error_response(public_error(exc), fields))


_FORMS: dict[str, TranscriptForm] = {form: form for form in get_args(TranscriptForm)}
_BY_MEDIA_TYPE: dict[str, TranscriptForm] = {kind: form for form, kind in MEDIA_TYPES.items()} | {"*/*": "json"}


def choose_form(asked: Sequence[str], accept: str) -> TranscriptForm:
    """Return the form of an answer: JSON, unless a form that exists is asked for.

    Args:
        asked: the values of `format`.
        accept: the value of `Accept`.

    Raises:
        InvalidParameter: `format` names no form, or comes more than once.
    """
    if asked:
        form = _FORMS.get(asked[0].strip().lower()) if len(asked) == 1 else None
        if form is None:
            raise InvalidParameter(f"format must be one of {', '.join(_FORMS)}.", param="format")
        return form
    ranges = [_media_range(text) for text in accept.split(",")]
    known = [(weight, kind) for weight, kind in ranges if weight > 0 and kind in _BY_MEDIA_TYPE]
    if not known:
        return "json"
    return _BY_MEDIA_TYPE[max(known, key=lambda one: one[0])[1]]  # of equals, the first


def _media_range(text: str) -> tuple[float, str]:
    """Return the weight of one part of `Accept` and what it names."""
    kind, *parameters = (part.strip().lower() for part in text.split(";"))
    weight = next((value.removeprefix("q=") for value in parameters if value.startswith("q=")), "1")
    try:
        return float(weight), kind
    except ValueError:
        return 0.0, kind
