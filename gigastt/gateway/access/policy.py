"""The policies in their order, applied to every request before its handler runs or its WebSocket is accepted.

    connections → rate → host → origin → preflight → key → its limits → route

Plain ASGI, in the task of the request, inside `RequestMiddleware`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gigastt.errors import HostDenied, InvalidParameter, OriginDenied, RateLimited, Unauthorized
from gigastt.gateway.access.addresses import AddressRange, client_address, rate_key
from gigastt.gateway.access.browsers import HostPolicy, OriginPolicy, cors_headers, is_own_page, preflight_headers
from gigastt.gateway.access.client_tokens import ClientTokens, Grant
from gigastt.gateway.access.keys import ApiKeys, choose_subprotocol, presented_token
from gigastt.gateway.rate import RateLimiter
from gigastt.gateway.requests import Routes, allowed_methods, exchange_of, find_route
from gigastt.gateway.responses import send_response
from gigastt.gateway.server.caps import PLACE, Connections, Place
from gigastt.log import get_logger

log = get_logger(__name__)

_PROBES = ("/health", "/ready")  # exempt from every policy: load balancers call them by address, name or no name
# Need no key to be read: a browser has none to send.
_PUBLIC = ("/", "/captions", "/status", "/web/{name}", "/v1/page", "/docs", "/openapi.json", "/ca.crt")
_REALTIME = "/v1/realtime"
FOLLOWING = "/v1/sessions/{id}/events"  # read by tokens for one session
_SECRET_MAKERS = ("/v1/realtime/client_secrets", "/v1/realtime/transcription_sessions")
_MOST_SHOWN = 100  # characters
_MOST_PARAMETERS = 1_000  # of a query, as a form has parts: to read as many as a head can hold takes 30 ms


@dataclass(slots=True)
class PolicyMiddleware:
    """Let a request pass, or refuse it.

    The rate is checked early, so that a client who is refused for another reason cannot ask for ever.
    """

    app: ASGIApp
    routes: Routes
    connections: Connections
    rate_limiter: RateLimiter
    clock: Callable[[], float]
    hosts: HostPolicy
    origins: OriginPolicy
    keys: ApiKeys | None
    client_tokens: ClientTokens
    trusted: tuple[AddressRange, ...]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        exchange = exchange_of(scope)
        headers = Headers(scope=scope)
        origins = headers.getlist("origin")
        origin_allowed = self.origins.allows(origins)
        if origins and origin_allowed:
            exchange.headers.extend(cors_headers(origins[0]))
        if scope["path"] in _PROBES:
            await self._pass(scope, receive, send, headers)
            return
        place: Place | None = scope["state"].get(PLACE)
        if place is not None and place.refusal is not None:
            raise place.refusal()
        client = scope.get("client")
        peer = client[0] if client else None
        address = client_address(peer, headers.getlist("x-forwarded-for"), self.trusted)
        key = rate_key(address)
        exchange.client, exchange.address = key, str(address)
        with self.connections.carrying(key) if place is not None and place.shared else nullcontext():
            wait = self.rate_limiter.take(key, self.clock())
            if wait > 0:
                raise RateLimited("Too many requests from this address.", retry_after_ms=max(1, round(wait * 1000)))
            check_host(self.hosts, scope)
            if not origin_allowed and not is_own_page(origins, headers.getlist("host")):
                log.info("origin_denied", origin=_shown(origins), allowed_by="--allow-origin")
                raise OriginDenied(
                    f"Pages of the origin {_shown(origins)} may not use the server. Its operator can allow them: "
                    "--allow-origin ORIGIN."
                )
            if scope["query_string"].count(b"&") >= _MOST_PARAMETERS:
                raise InvalidParameter(f"The query has over {_MOST_PARAMETERS} parameters.")
            await self._pass(scope, receive, send, headers)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        path: str = scope["path"]
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            route = find_route(self.routes, path)
            if route is not None:
                await send_response(scope, send, self._options(self.routes[route], headers))
                return
        exchange = exchange_of(scope)
        is_public = scope["type"] == "http" and find_route(self.routes, path) in _PROBES + _PUBLIC
        grant = None if is_public else self._find_grant(scope, headers)
        key = grant.key if grant is not None else None
        exchange.grant = grant
        if key is not None:
            exchange.client = (exchange.client, key.digest)
            exchange.key_name = key.name
            exchange.owner = key.owner
        if self.keys is not None and key is not None:
            exchange.usage = self.keys.usage(key)
            exchange.usage.begin_request(self.clock())
        if scope["type"] == "websocket":
            exchange.subprotocol = choose_subprotocol(scope.get("subprotocols", []))
            if self.keys is not None and grant is not None and key is not None:
                reads_only = grant.session is not None
                async with self.keys.using(key):
                    with nullcontext() if reads_only else self.keys.usage(key).session():
                        await self.app(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _find_grant(self, scope: Scope, headers: Headers) -> Grant | None:
        """Return what a request may do by its key or token; None where it has none and needs none.

        Raises:
            Unauthorized: it needs one, or has a token that is good for something else.
        """
        offered = scope.get("subprotocols", []) if scope["type"] == "websocket" else []
        presented = presented_token(headers.getlist("authorization"), offered)
        key = self.keys.find(presented) if self.keys is not None else None
        if key is not None:
            return Grant(key)
        grant = self.client_tokens.read(presented)
        if self.keys is None:
            return grant
        if grant is None:
            raise Unauthorized("The server asks for an API key: Authorization: Bearer KEY.")
        if not self._is_good_for(grant, scope):
            raise Unauthorized("This token was made for something else; an API key may do this.")
        return grant

    def _is_good_for(self, grant: Grant, scope: Scope) -> bool:
        path: str = scope["path"]
        if grant.session is not None:
            reads = scope["type"] == "websocket" or scope["method"] in ("GET", "HEAD")
            return reads and find_route(self.routes, path) == FOLLOWING and path.split("/")[3] == grant.session
        if grant.realtime is not None:
            return scope["type"] == "websocket" and path == _REALTIME
        return path not in _SECRET_MAKERS  # or a token could be renewed for ever

    def _options(self, route_methods: tuple[str, ...], headers: Headers) -> Response:
        methods = allowed_methods(route_methods)
        preflight = "access-control-request-method" in headers
        asked = headers.get("access-control-request-headers", "")
        return Response(None, 204, {"allow": methods, **(preflight_headers(methods, asked) if preflight else {})})


def check_host(hosts: HostPolicy, scope: Scope) -> None:
    """Refuse a request to a name that the server does not answer to.

    A request of HTTP/1.0 may come without `Host`: browsers always send one, so no page can have made it.

    Raises:
        HostDenied: the message and the log have the name.
    """
    names = Headers(scope=scope).getlist("host")
    if hosts.allows(names) or (not names and scope.get("http_version") == "1.0"):
        return
    allowed_by = {"allowed_by": "--allowed-host"} if len(names) == 1 else {}
    log.info("host_denied", host=_shown(names), **allowed_by)
    if len(names) != 1:
        raise HostDenied("A request must name the server in one Host header.")
    raise HostDenied(
        f"The server does not answer to the name {_shown(names)}. Its operator can add it: --allowed-host NAME."
    )


def _shown(values: list[str]) -> str:
    """Return a header's values, written by a client, as short and printable text."""
    return ascii(", ".join(values)[:_MOST_SHOWN])
