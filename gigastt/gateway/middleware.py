"""Middleware: what happens to every request before and after its route, over HTTP and WebSocket alike.

    request id → metrics, log, errors as JSON → connections → rate limit → host → origin → preflight → key → route

Plain ASGI, on the event loop. `RequestMiddleware` is outside: its answer carries the request id, `Vary: Origin` and
whatever the inside has added to `Exchange.headers`, also when the inside failed. `PolicyMiddleware` decides who may
pass, before a handler runs and before a WebSocket is accepted. The policies themselves are pure and live beside.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Hashable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from gigastt.errors import HostDenied, OriginDenied, RateLimited, RequestError, ShuttingDown, Unauthorized
from gigastt.gateway.access.addresses import Network, client_address, rate_key
from gigastt.gateway.access.hosts import HostPolicy
from gigastt.gateway.access.keys import ApiKeys, bearer_token, choose_subprotocol, subprotocol_token
from gigastt.gateway.access.origins import OriginPolicy, cors_headers, preflight_headers
from gigastt.gateway.context import AppContext
from gigastt.gateway.metrics import OTHER_PATH, Metrics, RequestTimer
from gigastt.gateway.pool.admission import SHUTDOWN_RETRY_MS
from gigastt.gateway.responses import send_error, send_response
from gigastt.gateway.server.caps import PLACE, Place
from gigastt.log import bound_fields, get_logger

log = get_logger(__name__)

Routes = Mapping[str, tuple[str, ...]]  # a path and its methods

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PROBES = ("/health", "/ready")  # exempt from every policy: load balancers call them by address, name or no name
_ROOT = "/"  # has no route, but HAProxy's plain check asks it for its options
_QUIET = ("/health", "/ready", "/metrics")
_STARTS = ("http.response.start", "websocket.http.response.start", "websocket.accept")
_MOST_SHOWN = 100  # characters
_CLIENT_GONE = 499  # nginx's word for it; only in the metrics and the log


class ClientGone(Exception):
    """The client hung up before its answer; there is nobody to tell."""


@dataclass(slots=True)
class Exchange:
    """One request and what its answer must carry; in `scope["state"]["exchange"]`.

    client: whose request it is, for shares of what all clients use: an address, with its API key where keys are asked.
    """

    request_id: str
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    subprotocol: str | None = None
    client: Hashable = None


def exchange_of(scope: Scope) -> Exchange:
    """Return the exchange that `RequestMiddleware` put into a scope."""
    exchange: Exchange = scope["state"]["exchange"]
    return exchange


def allowed_methods(methods: tuple[str, ...]) -> str:
    """Return the value of `Allow` for a route."""
    return ", ".join((*methods, "OPTIONS"))


class RequestMiddleware:
    """Give a request its id, count it, log it, and turn whatever it raises into an answer."""

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: Routes) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope).getlist("x-request-id"))
        exchange = Exchange(request_id, [(b"x-request-id", request_id.encode("ascii")), (b"vary", b"Origin")])
        scope.setdefault("state", {})["exchange"] = exchange
        template = scope["path"] if scope["path"] in self._routes else OTHER_PATH
        timer = RequestTimer(self._metrics, scope.get("method", "GET"), template, self._routes.get(template, ()))
        answer = _Answer(send, exchange, timer)
        with bound_fields(request_id=request_id):
            try:
                await self._app(scope, receive, answer.send)
            except (ClientGone, WebSocketDisconnect):
                answer.status = answer.status or _CLIENT_GONE
            except asyncio.CancelledError:  # the server stops; its task ends here, as it was asked to
                await answer.fail(scope, ShuttingDown("The server is shutting down.", retry_after_ms=SHUTDOWN_RETRY_MS))
            except Exception as exc:  # the border of a request
                if isinstance(exc, RateLimited):
                    self._metrics.rate_limit_rejections.inc()
                elif not isinstance(exc, RequestError):
                    log.exception("request_failed", path=template)
                await answer.fail(scope, exc)
            finally:
                answer.finish()
                event = log.debug if template in _QUIET else log.info
                event("request", path=template, status=answer.status, seconds=round(timer.elapsed, 4))


class _Answer:
    """Pass an answer on, with the headers of its exchange, and remember how far it got."""

    def __init__(self, send: Send, exchange: Exchange, timer: RequestTimer) -> None:
        self.status: int | None = None
        self._send = send
        self._exchange = exchange
        self._timer = timer
        self._started = False
        self._ended = False
        self._counted = False

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind in _STARTS:
            self._started = True
            self.status = message.get("status", 101)
            message = {**message, "headers": [*message.get("headers", ()), *self._exchange.headers]}
        if kind == "websocket.accept":
            message["subprotocol"] = message.get("subprotocol") or self._exchange.subprotocol
            self.finish()  # the request is answered; the session that begins is not a slow request
        elif kind == "websocket.close":
            self._ended = True
            self.status = self.status or 403
        elif kind == "http.response.body":
            self._ended = not message.get("more_body", False)
        await self._send(message)

    async def fail(self, scope: Scope, exc: Exception) -> None:
        """Answer with an error where nothing has been sent yet; else only a WebSocket can still be told.

        A stream of events has told its client by itself; it is ended here where the server is what ends it.
        """
        if not self._started:
            await send_error(scope, self.send, exc)
        elif scope["type"] == "websocket" and not self._ended:
            await self.send({"type": "websocket.close", "code": getattr(exc, "close_code", None) or 1011})
        elif not self._ended and isinstance(exc, ShuttingDown):
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    def finish(self) -> None:
        """Count the answer, once."""
        if not self._counted:
            self._counted = True
            self._timer.answered(self.status or 500)


class PolicyMiddleware:
    """Let pass who may: by connections, rate, host, origin and key, in that order.

    The rate comes early, so that a client who is refused for another reason cannot ask for ever.
    """

    def __init__(
        self,
        app: ASGIApp,
        context: AppContext,
        routes: Routes,
        *,
        hosts: HostPolicy,
        origins: OriginPolicy,
        keys: ApiKeys | None,
        trusted: tuple[Network, ...],
    ) -> None:
        self._app = app
        self._context = context
        self._routes = routes
        self._hosts = hosts
        self._origins = origins
        self._keys = keys
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        headers = Headers(scope=scope)
        origins = headers.getlist("origin")
        friendly = self._origins.allows(origins)
        if origins and friendly:
            exchange_of(scope).headers.extend(cors_headers(origins[0]))
        if path in _PROBES:
            await self._pass(scope, receive, send, headers)
            return
        place: Place | None = scope["state"].get(PLACE)
        if place is not None and place.refusal is not None:
            raise place.refusal()
        client = scope.get("client")
        key = rate_key(client_address(client[0] if client else None, headers.getlist("x-forwarded-for"), self._trusted))
        exchange_of(scope).client = key
        carried = place is not None and place.shared
        with self._context.connections.carrying(key) if carried else nullcontext():
            self._limit_rate(key)
            check_host(self._hosts, scope)
            if not friendly:
                log.info("origin_denied", origin=_shown(origins))
                raise OriginDenied(
                    f"Pages of the origin {_shown(origins)} may not use the server. Its operator can allow them: "
                    "--allow-origin ORIGIN."
                )
            await self._pass(scope, receive, send, headers)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        path: str = scope["path"]
        if scope["type"] == "http" and scope["method"] == "OPTIONS" and (path in self._routes or path == _ROOT):
            await send_response(scope, send, self._options(path, headers))
            return
        if path not in _PROBES and self._keys is not None:
            token = _check_key(self._keys, scope, headers)
            exchange_of(scope).client = (exchange_of(scope).client, hash(token))
        if scope["type"] == "websocket":
            exchange_of(scope).subprotocol = choose_subprotocol(scope.get("subprotocols", []))
        await self._app(scope, receive, send)

    def _limit_rate(self, key: int) -> None:
        wait = self._context.rate_limiter.take(key, self._context.clock())
        if wait > 0:
            raise RateLimited("Too many requests from this address.", retry_after_ms=max(1, round(wait * 1000)))

    def _options(self, path: str, headers: Headers) -> Response:
        methods = allowed_methods(self._routes.get(path, ()))
        asked = headers.get("access-control-request-method") is not None
        return Response(None, 204, {"allow": methods, **(preflight_headers(methods) if asked else {})})


def check_host(hosts: HostPolicy, scope: Scope) -> None:
    """Refuse a request to a name that the server does not answer to.

    A request of HTTP/1.0 may have no `Host`: no browser sends such a one, so no page can have made it.

    Raises:
        HostDenied: the message and the log have the name.
    """
    names = Headers(scope=scope).getlist("host")
    if hosts.allows(names) or (not names and scope.get("http_version") == "1.0"):
        return
    log.info("host_denied", host=_shown(names))
    if len(names) != 1:
        raise HostDenied("A request must name the server in one Host header.")
    raise HostDenied(
        f"The server does not answer to the name {_shown(names)}. Its operator can add it: --allowed-host NAME."
    )


def _check_key(keys: ApiKeys, scope: Scope, headers: Headers) -> str | None:
    token = bearer_token(headers.getlist("authorization"))
    if token is None and scope["type"] == "websocket":
        token = subprotocol_token(scope.get("subprotocols", []))
    if not keys.accepts(token):
        raise Unauthorized("The server asks for an API key: Authorization: Bearer KEY.")
    return token


def _shown(values: list[str]) -> str:
    """Return what a client wrote into a header, in a form and of a length that harm nobody."""
    return ascii(", ".join(values)[:_MOST_SHOWN])


def _request_id(presented: list[str]) -> str:
    """Return the client's id of a request where it is harmless, else a new one."""
    if len(presented) == 1 and _REQUEST_ID.fullmatch(presented[0]):
        return presented[0]
    return secrets.token_hex(8)
