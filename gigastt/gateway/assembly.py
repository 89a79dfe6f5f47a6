"""How an application of a listener is put together: its policies around its routes, and errors as answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from gigastt.config import is_loopback
from gigastt.errors import InternalError, MethodNotAllowed, NotFound, RequestError, UpgradeRequired
from gigastt.gateway.access.addresses import parse_networks
from gigastt.gateway.access.browsers import HostPolicy, OriginPolicy, own_names
from gigastt.gateway.access.client_tokens import ClientTokens
from gigastt.gateway.access.policy import PolicyMiddleware
from gigastt.gateway.context import AppContext
from gigastt.gateway.requests import RequestMiddleware, Routes, allowed_methods, exchange_of, find_route
from gigastt.gateway.responses import ErrorFields, error_fields

_METHODS = ("GET", "HEAD", "POST", "DELETE")


def build_app(
    context: AppContext,
    endpoints: Sequence[BaseRoute],
    host: str | None,
    *,
    asks_keys: bool = True,
    protocol_of: Callable[[str], str | None] = lambda path: None,
    error_form: Callable[[str], ErrorFields] = lambda path: error_fields,
    on_refused: Callable[[Scope, RequestError], None] = lambda scope, error: None,
) -> Starlette:
    """Build an application.

    Args:
        endpoints: what it serves.
        host: on which it listens, with the access policies of the server; None for a listener without any.
        asks_keys: whether those ask for an API key, where the server has some.
        protocol_of: the protocol that a path speaks.
        error_form: how a path tells errors.
        on_refused: is told of each WebSocket that is refused before its upgrade.
    """
    routes = routes_of(endpoints)

    async def raise_http_error(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)
        if exc.status_code == 404:
            raise _not_found()
        route = find_route(routes, request.url.path)
        if exc.status_code == 405 and route is not None:
            allowed = allowed_methods(routes[route])
            exchange_of(request.scope).headers.append((b"allow", allowed.encode("ascii")))
            raise MethodNotAllowed(f"This address takes {allowed}, not {request.method}.")
        raise InternalError("The request cannot be answered.")

    middleware = [
        Middleware(
            RequestMiddleware,
            metrics=context.metrics,
            routes=routes,
            error_forms=error_form,
            protocol_of=protocol_of,
            on_refused=on_refused,
        )
    ]
    if host is not None:
        settings, own = context.settings, ClientTokens(context.tokens, context.api_keys)
        policies = Middleware(
            PolicyMiddleware,
            routes=routes,
            connections=context.connections,
            rate_limiter=context.rate_limiter,
            clock=context.clock,
            hosts=HostPolicy(settings.allowed_host, loopback_bind=is_loopback(host), names=own_names()),
            origins=OriginPolicy(settings.allow_origin, allow_any=settings.cors_allow_any),
            keys=context.api_keys if asks_keys else None,
            client_tokens=own,
            trusted=parse_networks(settings.trusted_proxy),
        )
        middleware.append(policies)
    app = Starlette(routes=endpoints, middleware=middleware, exception_handlers={HTTPException: raise_http_error})
    app.router.redirect_slashes = False
    app.router.default = refuse_unknown_address
    return app


def routes_of(endpoints: Sequence[BaseRoute]) -> Routes:
    """Return the methods of each path."""
    found: dict[str, set[str]] = {}
    for one in endpoints:
        assert isinstance(one, Route | WebSocketRoute)
        methods = one.methods if isinstance(one, Route) else {"GET"}
        found.setdefault(one.path, set()).update(methods or ())
    return {path: tuple(sorted(methods, key=_METHODS.index)) for path, methods in found.items()}


async def refuse_plain_request(request: Request) -> Response:
    """Refuse a request without an upgrade as its upgrade would be: browsers tell a page no reason for that one."""
    usage = exchange_of(request.scope).usage
    with usage.session() if usage is not None else nullcontext():
        raise UpgradeRequired("This address speaks WebSocket: open it with a WebSocket client.")


async def refuse_unknown_address(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "lifespan":
        raise _not_found()


def _not_found() -> NotFound:
    return NotFound(
        "There is nothing at this address. POST /v1/transcribe takes a file, GET /v1/ws is a WebSocket for live audio; "
        "docs/protocol.md of gigastt has every route."
    )
