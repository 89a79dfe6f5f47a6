"""The server's door, as tests reckon it: how an exchange must end, from the list of routes alone.

Independent of the order in which the server looks, and of its names of things.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from gigastt.gateway.requests import find_route
from tests.fakes.asgi import WEBSOCKET, Answer, ask
from tests.fakes.gateway import ROUTES

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", WEBSOCKET)
NAMES = {"{name}": "style.css", "{id}": "gigaam-v3-e2e-rnnt"}
UNKNOWN = ("/nothing", "//health", "/health/", "/v1/ws/", "/v1/models/a/b", "/web/", "/V1/models")
PROBES = ("/health", "/ready")
PUBLIC = (*PROBES, "/", "/captions", "/status", "/web/{name}", "/v1/page", "/docs", "/openapi.json", "/ca.crt")
SECRET_MAKERS = ("/v1/realtime/client_secrets", "/v1/realtime/transcription_sessions")
FOLLOWING = "/v1/sessions/{id}/events"
LOCAL = ("host", "127.0.0.1:9876")
OF_THE_DOOR = {"origin_denied", "host_denied", "unauthorized", "rate_limited", "quota_exceeded", "method_not_allowed"}


def filled(route: str) -> str:
    for name, value in NAMES.items():
        route = route.replace(name, value)
    return route


PATHS = (*map(filled, ROUTES), *UNKNOWN)


@dataclass(frozen=True)
class Expected:
    """How an exchange ends: None is an answer of whatever stands behind the door."""

    status: int | None = None
    code: str | None = None


INSIDE = Expected()
FORBIDDEN, UNAUTHORIZED = Expected(403, "origin_denied"), Expected(401, "unauthorized")
MISDIRECTED, MISSING = Expected(421, "host_denied"), Expected(404, "not_found")


def sockets_of(app: Starlette) -> set[str]:
    return {route.path for route in app.routes if isinstance(route, WebSocketRoute)}


def expect(app: Starlette, path: str, method: str, *, origin_allowed: bool = True, opens: bool = True) -> Expected:
    """Reckon how an exchange ends at the server's own listener."""
    route = find_route(ROUTES, path)
    if not origin_allowed and path not in PROBES:
        return FORBIDDEN
    if method == "OPTIONS" and route is not None:
        return Expected(204)
    if not opens and (method == WEBSOCKET or route not in PUBLIC):
        return UNAUTHORIZED
    if method == WEBSOCKET:
        return Expected(101) if route in sockets_of(app) else MISSING
    if route is None:
        return MISSING
    if method not in ROUTES[route] and not (method == "HEAD" and "GET" in ROUTES[route]):
        return Expected(405, "method_not_allowed")
    if route in sockets_of(app) and method in ("GET", "HEAD"):
        return Expected(426, "upgrade_required")
    return INSIDE


def faults(method: str, answer: Answer, expected: Expected, origin: str | None, allowed: bool) -> Iterator[str]:
    """Yield what is wrong with an answer."""
    code = answer.code if answer.status >= 400 and method != "HEAD" else None
    if expected == INSIDE:
        if code in OF_THE_DOOR or answer.status in (0, 500):
            yield f"not let in: {answer.status} {code}"
    elif answer.status != expected.status or (method != "HEAD" and code != expected.code):
        yield f"{answer.status} {code}, not {expected.status} {expected.code}"
    headers = [(name, value) for name, value in answer.headers if name == "vary"]
    if ("vary", "Origin") not in headers:
        yield f"Vary: {headers}"
    if not answer.header("x-request-id"):
        yield "no request id"
    if answer.header("access-control-allow-origin") != (origin if allowed else None):
        yield f"CORS: {answer.header('access-control-allow-origin')}"
    if allowed and origin and "retry-after" not in (answer.header("access-control-expose-headers") or ""):
        yield "a page may not read Retry-After"
    if answer.status >= 400 and answer.header("content-type") != "application/json":
        yield f"Content-Type: {answer.header('content-type')}"
    needed = {401: "www-authenticate", 405: "allow", 429: "retry-after", 503: "retry-after"}.get(answer.status)
    if needed and not answer.header(needed):
        yield f"no {needed}"


async def judge(
    app: Starlette,
    cells: Iterable[tuple[str, str, Sequence[tuple[str, str]], Expected]],
    *,
    origin: str | None = None,
    allowed: bool = True,
    **how: Any,
) -> dict[str, list[str]]:
    """Ask for every cell (method, path, headers, what is expected); return those that are wrong."""
    wrong: dict[str, list[str]] = {}
    for method, path, headers, expected in cells:
        sent = [*headers, *([("origin", origin)] if origin is not None else [])]
        answer = await ask(app, method, path, sent, **how)
        if found := list(faults(method, answer, expected, origin, allowed)):
            wrong[f"{method} {path} {sent}"] = found
    return wrong
