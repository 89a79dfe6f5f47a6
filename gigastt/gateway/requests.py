"""Requests: each has an id, is counted and logged, and whatever it raises becomes its answer, in JSON.

Plain ASGI around all else, over HTTP and WebSocket alike, in the task of the request. Every answer carries the request
id, `Vary: Origin` and the headers that the inside has added to its `Exchange`, also when the inside failed.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from gigastt.client_json import parse_json
from gigastt.errors import (
    InternalError,
    InvalidParameter,
    PayloadTooLarge,
    QuotaExceeded,
    RateLimited,
    RequestError,
    RequestTimeout,
    ShuttingDown,
)
from gigastt.gateway.access.client_tokens import Grant
from gigastt.gateway.access.key_usage import KeyUsage
from gigastt.gateway.metrics import KNOWN_METHODS, OTHER_METHOD, OTHER_PATH, Metrics
from gigastt.gateway.responses import ErrorFields, error_fields, public_error, send_error
from gigastt.log import bound_fields, get_logger

log = get_logger(__name__)

Routes = Mapping[str, tuple[str, ...]]  # a path, perhaps with a `{name}` for any one part of it, and its methods
ErrorForms = Callable[[str], ErrorFields]  # from a path to the shape of errors there

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_QUIET = ("/health", "/ready", "/metrics")
_STARTS = ("http.response.start", "websocket.http.response.start", "websocket.accept")
_MOST_PARAMETERS = 1_000  # of a query: twice as many as there may be hotwords
_MOST_REASON = 200  # characters of an error's text in the log
_CLIENT_GONE = 499  # nginx's status for it; only in the metrics and the log


class ClientGone(Exception):
    """The client hung up before its answer; there is nobody to tell."""


@dataclass(slots=True)
class Exchange:
    """One request and what its answer must carry; in `scope["state"]["exchange"]`.

    client: whose request it is, for shares of what all clients use: an address, with its API key where keys are asked.
    error_fields: renders its error, in the shape of the protocol that its path speaks.
    address: the client's own, also behind a trusted proxy; None until the policies have looked.
    key_name: the name of its API key; None where no key is asked or the key has no name.
    owner: whose what it makes is: the key's name or digest, the same on every server; empty where no key is asked.
    has_line: it was a session, whose line is in the log.
    facts: what its line in the log also tells, such as seconds of audio; never text.
    usage: what its key's use is counted in; None where no key is asked.
    grant: what it may do; None until the policies have looked, and where neither a key was asked for nor a token came.
    """

    request_id: str
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    subprotocol: str | None = None
    client: Hashable = None
    error_fields: ErrorFields = error_fields
    address: str | None = None
    key_name: str | None = None
    grant: Grant | None = None
    usage: KeyUsage | None = None
    owner: str = ""
    has_line: bool = False
    facts: dict[str, float | str] = field(default_factory=dict)


def exchange_of(scope: Scope) -> Exchange:
    """Return the exchange that `RequestMiddleware` put into a scope."""
    exchange: Exchange = scope["state"]["exchange"]
    return exchange


def find_route(routes: Routes, path: str) -> str | None:
    """Return the route of a path as `routes` names it."""
    if path in routes:
        return path
    parts = path.split("/")
    for route in routes:
        names = route.split("/")
        if "{" in route and len(names) == len(parts) and all(map(_fits, names, parts)):
            return route
    return None


def _fits(name: str, part: str) -> bool:
    return name == part or (name.startswith("{") and part != "")


def allowed_methods(methods: tuple[str, ...]) -> str:
    """Return the value of `Allow` for a route."""
    return ", ".join((*methods, "OPTIONS"))


async def read_json(request: Request, most_bytes: int, seconds: float = 30.0) -> dict[str, Any]:
    """Read a small JSON object from a body; an empty body is an empty object.

    Raises:
        InvalidParameter: it is no JSON object.
        PayloadTooLarge, RequestTimeout: it is longer than that, or has not come in so many seconds.
        ClientGone: the client hung up.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for piece in request.stream():
                body += piece
                if len(body) > most_bytes:
                    raise PayloadTooLarge(f"The body is over {most_bytes} bytes.")
    except TimeoutError as exc:
        raise RequestTimeout("The body came too slowly.") from exc
    except ClientDisconnect as exc:
        raise ClientGone from exc
    try:
        fields = parse_json(body.decode("utf-8-sig") or "{}")
    except ValueError as exc:
        raise InvalidParameter("The body must be a JSON object.") from exc
    if not isinstance(fields, dict):
        raise InvalidParameter("The body must be a JSON object.")
    return fields


@dataclass(slots=True)
class RequestMiddleware:
    """Give a request its id, count it, log it, and turn whatever it raises into an answer.

    protocol_of: names the clients' protocol at a path, for the log.
    on_refused: is told of each WebSocket that is refused before its upgrade.
    """

    app: ASGIApp
    metrics: Metrics
    routes: Routes
    error_forms: ErrorForms = lambda path: error_fields
    protocol_of: Callable[[str], str | None] = lambda path: None
    on_refused: Callable[[Scope, RequestError], None] = lambda scope, error: None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope).getlist("x-request-id"))
        exchange = Exchange(request_id, [(b"x-request-id", request_id.encode("ascii")), (b"vary", b"Origin")])
        exchange.error_fields = self.error_forms(scope["path"])
        scope.setdefault("state", {})["exchange"] = exchange
        path = find_route(self.routes, scope["path"]) or OTHER_PATH
        answer = _Answer(send, exchange, self.metrics, scope.get("method", "GET"), path, self.routes.get(path, ()))
        code: str | None = None
        with bound_fields(request_id=request_id):
            try:
                _check_query(scope)
                await self.app(scope, receive, answer.send)
            except (ClientGone, WebSocketDisconnect):
                answer.status = answer.status or _CLIENT_GONE
            except asyncio.CancelledError:  # the server stops; its task ends here, as it was asked to
                await answer.fail(scope, ShuttingDown())
            except Exception as exc:  # the border of a request
                error = public_error(exc)
                code = error.code
                exchange.facts["reason"] = str(error)[:_MOST_REASON]
                self.metrics.count_error(code)
                if isinstance(exc, RateLimited | QuotaExceeded):
                    self.metrics.rate_limit_rejections.inc()
                elif not isinstance(exc, RequestError):
                    log.exception("request_failed", path=path)
                if scope["type"] == "websocket" and answer.status is None:
                    self.on_refused(scope, error)
                await answer.fail(scope, exc)
            finally:
                answer.count()
                if code is not None or not exchange.has_line:
                    self._write_line(scope, exchange, answer, path, code)

    def _write_line(self, scope: Scope, exchange: Exchange, answer: _Answer, path: str, code: str | None) -> None:
        """Write the request's line into the log."""
        event = log.debug if path in _QUIET else log.info
        peer = scope["client"][0] if scope.get("client") else None
        named = {"protocol": self.protocol_of(scope["path"]), "key": exchange.key_name}
        told = {**named, **exchange.facts, "code": code or exchange.facts.get("code")}
        known = {name: value for name, value in told.items() if value is not None}
        event("request", method=answer.method, path=path, status=answer.status, seconds=round(answer.elapsed, 4),
              client=exchange.address or peer, **known)  # fmt: skip


class _Answer:
    """Pass an answer on with the headers of its exchange, remember how far it got, and count it once.

    Args:
        path: the route's, or `OTHER_PATH`.
        allowed: the route's methods; one among them is served, and only what is served is timed.
    """

    def __init__(
        self, send: Send, exchange: Exchange, metrics: Metrics, method: str, path: str, allowed: tuple[str, ...]
    ) -> None:
        self.status: int | None = None
        self._send = send
        self._exchange = exchange
        self._metrics = metrics
        self.method = method if method in KNOWN_METHODS else OTHER_METHOD
        self._served = method in allowed
        known = method in KNOWN_METHODS and (self._served or method == "OPTIONS")
        self._labels = (method if known else OTHER_METHOD, path if self._served else OTHER_PATH)
        self._timed = self._labels if method == "POST" else ("GET", OTHER_PATH)  # all others are done at once
        self._began = time.perf_counter()
        self._started = False
        self._ended = False
        self._counted = False

    @property
    def elapsed(self) -> float:
        """Seconds since the request began."""
        return time.perf_counter() - self._began

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind in _STARTS:
            self._started = True
            self.status = message.get("status", 101)
            message = {**message, "headers": [*message.get("headers", ()), *self._exchange.headers]}
        if kind == "websocket.accept":
            message["subprotocol"] = message.get("subprotocol") or self._exchange.subprotocol
            self.count()  # the request is answered; the session that begins is not a slow request
        elif kind == "websocket.close":
            self._ended = True
            self.status = self.status or 403
        elif kind == "http.response.body":
            self._ended = not message.get("more_body", False)
        await self._send(message)

    async def fail(self, scope: Scope, exc: Exception) -> None:
        """Answer with an error if nothing has been sent yet; else only a WebSocket can still be told.

        A stream of events has told its client by itself, and is ended here when the server stops.
        """
        if not self._started:
            await send_error(scope, self.send, exc, self._exchange.error_fields)
        elif scope["type"] == "websocket" and not self._ended:
            close_code, reason = getattr(exc, "close_code", None) or 1011, getattr(exc, "code", InternalError.code)
            await self.send({"type": "websocket.close", "code": close_code, "reason": reason})
        elif not self._ended and isinstance(exc, ShuttingDown):
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    def count(self) -> None:
        """Count the answer, once; refusals are not timed, because they say nothing about speed."""
        if not self._counted:
            self._counted = True
            self._metrics.http_requests.labels(*self._labels, str(self.status or 500)).inc()
            if self._served:
                self._metrics.http_request_duration_seconds.labels(*self._timed).observe(self.elapsed)


def _check_query(scope: Scope) -> None:
    """Refuse a query of which reading alone would hold everybody up. Raises InvalidParameter."""
    if scope["query_string"].count(b"&") >= _MOST_PARAMETERS:
        raise InvalidParameter(f"The query has over {_MOST_PARAMETERS} parameters.")


def _request_id(presented: list[str]) -> str:
    """Return the client's id of a request if it is harmless, else a new one."""
    if len(presented) == 1 and _REQUEST_ID.fullmatch(presented[0]):
        return presented[0]
    return secrets.token_hex(8)
