"""The policies in their order, applied to every request before its handler runs or its WebSocket is accepted.

    connections → rate → host → origin → preflight → key → route

Plain ASGI, in the task of the request, inside `RequestMiddleware`.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from contextlib import nullcontext

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gigastt.errors import HostDenied, OriginDenied, RateLimited, Unauthorized
from gigastt.gateway.access.addresses import Network, client_address, rate_key
from gigastt.gateway.access.hosts import HostPolicy
from gigastt.gateway.access.keys import ApiKeys, bearer_token, choose_subprotocol, subprotocol_token
from gigastt.gateway.access.origins import OriginPolicy, cors_headers, is_own_page, preflight_headers
from gigastt.gateway.access.rate_limit import RateLimiter
from gigastt.gateway.requests import Routes, allowed_methods, exchange_of
from gigastt.gateway.responses import send_response
from gigastt.gateway.server.caps import PLACE, Connections, Place
from gigastt.log import get_logger

log = get_logger(__name__)

_PROBES = ("/health", "/ready")  # exempt from every policy: load balancers call them by address, name or no name
_ROOT = "/"  # has no route, but HAProxy's plain check asks it for its options
_MOST_SHOWN = 100  # characters


class PolicyMiddleware:
    """Let a request pass, or refuse it.

    The rate is checked early, so that a client who is refused for another reason cannot ask for ever.

    Args:
        open_paths: paths that ask for no key: the page has to be there before anybody can sign in on it.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Routes,
        *,
        connections: Connections,
        rate_limiter: RateLimiter,
        clock: Callable[[], float],
        hosts: HostPolicy,
        origins: OriginPolicy,
        keys: ApiKeys | None,
        trusted: tuple[Network, ...],
        open_paths: Container[str] = (),
    ) -> None:
        self._app = app
        self._routes = routes
        self._connections = connections
        self._rate_limiter = rate_limiter
        self._clock = clock
        self._hosts = hosts
        self._origins = origins
        self._keys = keys
        self._trusted = trusted
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        exchange = exchange_of(scope)
        headers = Headers(scope=scope)
        origins = headers.getlist("origin")
        origin_allowed = self._origins.allows(origins) or is_own_page(origins, headers.getlist("host"))
        if origins and origin_allowed:
            exchange.headers.extend(cors_headers(origins[0]))
        if scope["path"] in _PROBES:
            await self._pass(scope, receive, send, headers)
            return
        place: Place | None = scope["state"].get(PLACE)
        if place is not None and place.refusal is not None:
            raise place.refusal()
        client = scope.get("client")
        key = rate_key(client_address(client[0] if client else None, headers.getlist("x-forwarded-for"), self._trusted))
        exchange.client = key
        with self._connections.carrying(key) if place is not None and place.shared else nullcontext():
            wait = self._rate_limiter.take(key, self._clock())
            if wait > 0:
                raise RateLimited("Too many requests from this address.", retry_after_ms=max(1, round(wait * 1000)))
            check_host(self._hosts, scope)
            if not origin_allowed:
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
        exchange = exchange_of(scope)
        if self._keys is not None and path not in _PROBES and path not in self._open_paths:
            token = _check_key(self._keys, scope, headers)
            exchange.client = (exchange.client, hash(token))
        if scope["type"] == "websocket":
            exchange.subprotocol = choose_subprotocol(scope.get("subprotocols", []))
        await self._app(scope, receive, send)

    def _options(self, path: str, headers: Headers) -> Response:
        methods = allowed_methods(self._routes.get(path, ()))
        preflight = "access-control-request-method" in headers
        return Response(None, 204, {"allow": methods, **(preflight_headers(methods) if preflight else {})})


def check_host(hosts: HostPolicy, scope: Scope) -> None:
    """Refuse a request to a name that the server does not answer to.

    A request of HTTP/1.0 may come without `Host`: browsers always send one, so no page can have made it.

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
    """Return a header's values, written by a client, as short and printable text."""
    return ascii(", ".join(values)[:_MOST_SHOWN])
