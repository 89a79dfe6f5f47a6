"""The application: its routes with their parts, the middleware around them, and the errors of unknown addresses.

create_app(context)          the server's own listener
create_metrics_app(context)  the listener of --metrics-listen: /metrics and nothing else
create_vosk_app(context)     the listener of --vosk: a WebSocket at /
create_audiosocket(context)  that of --audiosocket, which speaks no HTTP
create_plain_app(context)    plain HTTP on the ports that speak TLS
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from gigastt.config import is_loopback, split_address
from gigastt.errors import RequestError, TlsRequired
from gigastt.gateway.access.addresses import parse_networks
from gigastt.gateway.access.browsers import HostPolicy, own_names
from gigastt.gateway.access.client_tokens import ClientTokens
from gigastt.gateway.access.policy import FOLLOWING, check_host
from gigastt.gateway.api import openai_wire
from gigastt.gateway.api.asterisk import answer_asterisk, tell_refused_call
from gigastt.gateway.api.audiosocket import AudioSocketFraming, answer_audiosocket, turn_away
from gigastt.gateway.api.calls import CallEvents
from gigastt.gateway.api.deepgram import deepgram_of
from gigastt.gateway.api.deepgram_files import DeepgramFiles
from gigastt.gateway.api.description import serve_docs, serve_openapi
from gigastt.gateway.api.jambonz import JambonzDialect
from gigastt.gateway.api.jitsi import answer_jitsi
from gigastt.gateway.api.native import native_of
from gigastt.gateway.api.native_files import Uploads
from gigastt.gateway.api.native_jobs import JobRoutes
from gigastt.gateway.api.native_sse import TranscriptStream
from gigastt.gateway.api.openai_files import Models, Transcriptions, refuse_translation
from gigastt.gateway.api.realtime import realtime_of
from gigastt.gateway.api.tcp import listen_for
from gigastt.gateway.api.token_requests import RealtimeSecrets, TokenRequests
from gigastt.gateway.api.vosk import VoskDialect
from gigastt.gateway.api.websocket import Endpoint, speak
from gigastt.gateway.assembly import build_app, refuse_plain_request
from gigastt.gateway.context import AppContext
from gigastt.gateway.ops import Operations, landing_response, metrics_response
from gigastt.gateway.pages import FILES, PAGES, Pages
from gigastt.gateway.requests import exchange_of, find_route
from gigastt.gateway.responses import ErrorFields, error_fields
from gigastt.gateway.server.listener import ConnectionFactory
from gigastt.gateway.status import Status
from gigastt.gateway.trust import CA_PATH, Trust
from gigastt.log import get_logger

log = get_logger(__name__)

NATIVE: Final[Endpoint] = speak(native_of)

_WEBSOCKET_PATH: Final = "/v1/ws"
_DEPRECATED_WEBSOCKET_PATH: Final = "/ws"
_REALTIME_PATH: Final = "/v1/realtime"
_DEEPGRAM_PATH: Final = "/v1/listen"
_ASTERISK_PATH: Final = "/v1/asterisk/ws"
_JAMBONZ_PATH: Final = "/v1/jambonz"
_JITSI_PATH: Final = "/v1/jitsi/ws/{meeting}"
_LOOPBACK_NETWORKS: Final = ("127.0.0.0/8", "::1/128")
_OPENAI_PATHS: Final = ("/v1/audio/", "/v1/models/", _REALTIME_PATH)  # errors there have OpenAI's shape

_PROTOCOLS: Final = {  # by the beginning of a path
    "/ws": "native",
    "/v1/ws": "native",
    "/v1/transcribe": "native",
    "/v1/audio/": "openai",
    _REALTIME_PATH: "openai_realtime",
    _DEEPGRAM_PATH: "deepgram",
    _ASTERISK_PATH: "asterisk",
    _JAMBONZ_PATH: "jambonz",
    _JITSI_PATH.partition("{")[0]: "jitsi",
}


def create_app(context: AppContext, native: Endpoint = NATIVE) -> Starlette:
    """Build the server's application; `native` serves `/v1/ws`.

    Raises:
        ValueError: a trusted proxy is not a network.
    """
    pages, ops, status = Pages(), Operations(context), Status(context)
    client_tokens = ClientTokens(context.tokens, context.api_keys)
    realtime_secrets = RealtimeSecrets(client_tokens)
    uploads = Uploads(context)
    jobs = JobRoutes(context, uploads)

    async def run_deprecated(websocket: WebSocket, context: AppContext) -> None:
        link = f'<{_WEBSOCKET_PATH}>; rel="successor-version"'
        exchange_of(websocket.scope).headers.extend([(b"deprecation", b"true"), (b"link", link.encode("ascii"))])
        log.warning("deprecated_route", path=_DEPRECATED_WEBSOCKET_PATH, successor=_WEBSOCKET_PATH)
        await native(websocket, context)

    sockets: dict[str, Endpoint] = {
        _WEBSOCKET_PATH: native,
        _REALTIME_PATH: speak(realtime_of),
        _DEEPGRAM_PATH: speak(deepgram_of),
        _ASTERISK_PATH: answer_asterisk,
        _JAMBONZ_PATH: speak(lambda _: JambonzDialect()),
        _JITSI_PATH: answer_jitsi,
        _DEPRECATED_WEBSOCKET_PATH: run_deprecated,
    }
    routes = [
        *(route for path, endpoint in sockets.items() for route in _socket_routes(path, endpoint, context)),
        *(Route(path, pages.answer) for path in (*PAGES, FILES)),
        Route("/health", ops.health),
        Route("/ready", ops.ready),
        Route("/v1/models", ops.models),
        Route("/v1/models/{id}", Models(context.model.name).retrieve),
        Route("/v1/page", status.page),
        Route("/v1/status", status.status),
        Route(FOLLOWING, CallEvents(context).answer),
        Route("/v1/capacity", ops.capacity),
        Route("/v1/transcribe", uploads.transcribe, methods=["POST"]),
        Route("/v1/transcribe/stream", TranscriptStream(uploads), methods=["POST"]),
        Route("/v1/jobs", jobs.create, methods=["POST"]),
        Route("/v1/jobs/{id}", jobs.show),
        Route("/v1/jobs/{id}", jobs.delete, methods=["DELETE"]),
        Route("/v1/jobs/{id}/events", jobs.events),
        Route("/v1/jobs/{id}/result", jobs.result),
        Route("/v1/audio/transcriptions", Transcriptions(uploads), methods=["POST"]),
        Route("/v1/audio/translations", refuse_translation, methods=["POST"]),
        Route("/openapi.json", serve_openapi),
        Route("/docs", serve_docs),
        Route(CA_PATH, Trust(context.authority).certificate),
        Route("/metrics", ops.metrics),
        Route("/v1/tokens", TokenRequests(client_tokens).create, methods=["POST"]),
        Route("/v1/realtime/client_secrets", realtime_secrets.create, methods=["POST"]),
        Route("/v1/realtime/transcription_sessions", realtime_secrets.create_as_in_beta, methods=["POST"]),
        Route(_DEEPGRAM_PATH, DeepgramFiles(uploads, context.model.name).transcribe, methods=["POST"]),
    ]

    def tell_refused(scope: Scope, error: RequestError) -> None:
        if scope["path"] == _ASTERISK_PATH:
            tell_refused_call(context, scope, error)

    return build_app(
        context,
        routes,
        context.settings.host,
        protocol_of=_protocol_of,
        error_form=_error_form,
        on_refused=tell_refused,
    )


def create_metrics_app(context: AppContext) -> Starlette:
    """Build the application of the separate metrics listener, which asks for no key and counts no rate."""
    settings = context.settings
    loopback = is_loopback(split_address(settings.metrics_listen)[0]) if settings.metrics_listen else True
    hosts = HostPolicy(settings.allowed_host, loopback_bind=loopback, names=own_names())

    async def metrics(request: Request) -> Response:
        check_host(hosts, request.scope)
        return metrics_response(context.metrics)

    async def landing(request: Request) -> Response:
        check_host(hosts, request.scope)
        return landing_response()

    return build_app(context, [Route("/", landing), Route("/metrics", metrics)], None)


def create_vosk_app(context: AppContext) -> Starlette:
    """Build the application of the listener for clients of Vosk, with the policies of the server's own."""
    settings = context.settings
    host = split_address(settings.vosk, "--vosk")[0] if settings.vosk else settings.host
    routes = _socket_routes("/", speak(lambda _: VoskDialect(plain=settings.vosk_plain)), context)
    return build_app(context, routes, host, protocol_of=lambda path: VoskDialect.name)


def create_audiosocket(context: AppContext) -> ConnectionFactory:
    """Return what makes the connections of the listener for Asterisk's AudioSocket."""
    allowed = parse_networks(context.settings.audiosocket_allow or _LOOPBACK_NETWORKS)
    return listen_for("audiosocket", answer_audiosocket, AudioSocketFraming, context, allowed, turn_away)


def create_plain_app(context: AppContext) -> Starlette:
    """Build the application that answers plain HTTP where TLS is spoken; it asks for no key and does no work."""
    trust, pages = Trust(context.authority), Pages()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            raise TlsRequired
        request = Request(scope)
        loads = request.method in ("GET", "HEAD") and find_route({FILES: ()}, request.url.path) is not None
        response = await (pages.answer if loads else trust.answer_plain)(request)
        await response(scope, receive, send)

    app = build_app(context, [], context.settings.host, asks_keys=False)
    app.router.default = answer
    return app


def split_by_port(app: ASGIApp, others: Mapping[int, ASGIApp]) -> ASGIApp:
    """Return an application that hands what comes in at one of those ports to another one."""

    async def hand_on(scope: Scope, receive: Receive, send: Send) -> None:
        server: tuple[str, int] | None = scope.get("server")
        chosen = others.get(server[1], app) if server else app
        await chosen(scope, receive, send)

    return hand_on


def _socket_routes(path: str, endpoint: Endpoint, context: AppContext) -> list[BaseRoute]:
    """Return the routes of a WebSocket: its own, and that of a plain request, which is told to ask for an upgrade."""

    async def run(websocket: WebSocket) -> None:
        with context.metrics.ws_active_connections.track_inprogress():
            await endpoint(websocket, context)

    return [Route(path, refuse_plain_request), WebSocketRoute(path, run)]


def _protocol_of(path: str) -> str | None:
    return next((protocol for beginning, protocol in _PROTOCOLS.items() if path.startswith(beginning)), None)


def _error_form(path: str) -> ErrorFields:
    return openai_wire.openai_error_fields if path.startswith(_OPENAI_PATHS) else error_fields
