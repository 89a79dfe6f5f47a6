"""How an application of a listener is put together: its policies around its routes, and errors as answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from gigastt.config import is_loopback
from gigastt.errors import InternalError, MethodNotAllowed, NotFound, UpgradeRequired
from gigastt.gateway.access.addresses import parse_networks
from gigastt.gateway.access.client_tokens import ClientTokens
from gigastt.gateway.access.hosts import HostPolicy, own_names
from gigastt.gateway.access.origins import OriginPolicy
from gigastt.gateway.access.policy import PolicyMiddleware
from gigastt.gateway.context import AppContext
from gigastt.gateway.requests import RequestMiddleware, Routes, allowed_methods, exchange_of, find_route
from gigastt.gateway.responses import ErrorFields, error_fields

ErrorForm: TypeAlias = Callable[[str], ErrorFields]


def access_policies(context: AppContext, routes: Routes, host: str, *, asks_keys: bool = True) -> Middleware:
    """Return the policies of a listener on `host`."""
    settings = context.settings
    return Middleware(
        PolicyMiddleware,
        routes=routes,
        connections=context.connections,
        rate_limiter=context.rate_limiter,
        clock=context.clock,
        hosts=HostPolicy(settings.allowed_host, loopback_bind=is_loopback(host), names=own_names()),
        origins=OriginPolicy(settings.allow_origin, allow_any=settings.cors_allow_any),
        keys=context.api_keys if asks_keys else None,
        client_tokens=ClientTokens(context.tokens, context.api_keys),
        trusted=parse_networks(settings.trusted_proxy),
    )


def build_app(
    context: AppContext,
    routes: Routes,
    endpoints: list[BaseRoute],
    inner: list[Middleware],
    protocol_of: Callable[[str], str | None] = lambda path: None,
    error_form: ErrorForm = lambda path: error_fields,
) -> Starlette:
    """Build an application.

    Args:
        routes: what it serves, for metrics and refusals.
        endpoints: who answers.
        inner: between a request's line in the log and its endpoint.
        protocol_of: the protocol that a path speaks.
        error_form: how a path tells errors.
    """

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

    outer = Middleware(
        RequestMiddleware, metrics=context.metrics, routes=routes, error_forms=error_form, protocol_of=protocol_of
    )
    app = Starlette(
        routes=endpoints,
        middleware=[outer, *inner],
        exception_handlers={HTTPException: raise_http_error},
    )
    app.router.redirect_slashes = False
    app.router.default = refuse_unknown_address
    return app


async def refuse_plain_request(request: Request) -> Response:
    raise UpgradeRequired("This address speaks WebSocket: open it with a WebSocket client.")


async def refuse_unknown_address(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "lifespan":
        raise _not_found()


def _not_found() -> NotFound:
    return NotFound(
        "There is nothing at this address. POST /v1/transcribe takes a file, GET /v1/ws is a WebSocket for live audio; "
        "docs/protocol.md of gigastt has every route."
    )
