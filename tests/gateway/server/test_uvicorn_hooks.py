"""Hooks of uvicorn and websockets that the server overrides or calls, most of them private, are as they were.

A hook that an update has renamed would be overridden in vain, and a bound or a deadline would be gone without an error.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.server import ServerProtocol

from gigastt.gateway.server.deadlines import ConnectionConfig, Deadlines
from gigastt.gateway.server.http_exchange import Cycle, Flow
from gigastt.gateway.server.http_protocol import HttpConnection
from gigastt.gateway.server.listener import Server
from gigastt.gateway.server.ws_frames import FrameProtocol
from gigastt.gateway.server.ws_protocol import WebSocketConnection

PROTOCOL = "config server_state app_state _loop"
CYCLE = (
    "scope transport flow logger access_logger access_log default_headers message_event expect_100_continue keep_alive "
    "on_response"
)

HOOKS: dict[type, dict[str, str]] = {  # methods that are overridden or called, and their parameters
    uvicorn.Server: {
        "__init__": "config",
        "serve": "sockets",
        "startup": "sockets",
        "main_loop": "",
        "on_tick": "counter",
        "shutdown": "sockets",
        "capture_signals": "",
        "handle_exit": "sig frame",
    },
    HttpToolsProtocol: {
        "__init__": PROTOCOL,
        "connection_made": "transport",
        "connection_lost": "exc",
        "data_received": "data",
        "eof_received": "",
        "pause_writing": "",
        "resume_writing": "",
        "shutdown": "",
        "on_message_begin": "",
        "on_header": "name value",
        "on_headers_complete": "",
        "on_body": "body",
        "on_message_complete": "",
        "on_response_complete": "",
        "handle_websocket_upgrade": "",
        "_should_upgrade": "",
        "_unset_keepalive_if_required": "",
    },
    RequestResponseCycle: {"__init__": CYCLE, "run_asgi": "app", "send": "message"},
    FlowControl: {"__init__": "transport", "pause_reading": "", "resume_reading": ""},
    WebSocketsSansIOProtocol: {
        "__init__": PROTOCOL,
        "connection_made": "transport",
        "connection_lost": "exc",
        "data_received": "data",
        "eof_received": "",
        "pause_writing": "",
        "resume_writing": "",
        "shutdown": "",
        "handle_connect": "event",
        "handle_events": "",
        "handle_bytes": "event",
        "handle_text": "event",
        "handle_cont": "event",
        "handle_pong": "event",
        "handle_close": "event",
        "send_receive_event_to_app": "",
        "send_500_response": "",
        "start_keepalive": "",
        "stop_keepalive": "",
        "run_asgi": "",
        "send": "message",
        "receive": "",
    },
    ServerProtocol: {
        "fail": "code reason",
        "recv_frame": "frame",
        "reject": "status text",
        "receive_data": "data",
        "events_received": "",
        "data_to_send": "",
        "send_close": "code reason",
        "send_ping": "data",
    },
}

OURS: dict[type, type] = {
    Server: uvicorn.Server,
    HttpConnection: HttpToolsProtocol,
    Cycle: RequestResponseCycle,
    Flow: FlowControl,
    WebSocketConnection: WebSocketsSansIOProtocol,
    FrameProtocol: ServerProtocol,
}

CALLS: list[tuple[Callable[..., Any], str]] = [  # who calls the hook, or uses the name, that the server relies on
    (uvicorn.Server.serve, "capture_signals"),
    (uvicorn.Server._serve, "startup"),
    (uvicorn.Server._serve, "main_loop"),
    (uvicorn.Server._serve, "shutdown"),
    (uvicorn.Server.shutdown, "servers"),
    (uvicorn.Server.on_tick, "should_exit"),
    (uvicorn.Server.on_tick, "default_headers"),
    (uvicorn.Server.shutdown, "force_exit"),
    (HttpToolsProtocol.handle_websocket_upgrade, "ws_protocol_class"),
    (HttpToolsProtocol.on_message_begin, "url"),
    (HttpToolsProtocol.on_message_begin, "app_state"),
    (HttpToolsProtocol.on_response_complete, "timeout_keep_alive_task"),
    (HttpToolsProtocol.shutdown, "response_complete"),
    (RequestResponseCycle.send, "waiting_for_100_continue"),
    (RequestResponseCycle.send, "on_response"),
    (RequestResponseCycle.receive, "resume_reading"),
    (WebSocketsSansIOProtocol.handle_connect, "run_asgi"),
    (WebSocketsSansIOProtocol.handle_connect, "scope"),
    (WebSocketsSansIOProtocol.handle_bytes, "send_receive_event_to_app"),
    (WebSocketsSansIOProtocol.handle_text, "send_receive_event_to_app"),
    (WebSocketsSansIOProtocol.handle_cont, "send_receive_event_to_app"),
    (WebSocketsSansIOProtocol.connection_lost, "stop_keepalive"),
    (WebSocketsSansIOProtocol.send, "start_keepalive"),
    (WebSocketsSansIOProtocol.send, "writable"),
    (WebSocketsSansIOProtocol.send, "close_timeout"),
]

ATTRIBUTES: dict[type, str] = {  # of a new object
    uvicorn.Server: "config server_state should_exit force_exit started",
    HttpToolsProtocol: (
        "config app loop logger access_logger access_log parser root_path app_state timeout_keep_alive_task "
        "server_state tasks transport flow client scope headers expect_100_continue cycle"
    ),
    RequestResponseCycle: (
        "transport message_event on_response disconnected keep_alive waiting_for_100_continue body more_body "
        "response_started response_complete"
    ),
    FlowControl: "read_paused",
    WebSocketsSansIOProtocol: (
        "config app loop logger app_state tasks transport queue handshake_initiated handshake_complete close_sent "
        "disconnected close_timer close_timeout conn writable ping_timer pending_ping_payload frames curr_msg_data_type"
    ),
    ServerProtocol: "reader parser parser_exc handshake_exc close_rcvd",
}


def complaint(owner: type, hook: str, parameters: str) -> str | None:
    """Say how a hook differs from what the server was written for; None if it does not."""
    name = f"{owner.__module__}.{owner.__qualname__}.{hook}"
    homes = [parent for parent in owner.__mro__ if not parent.__module__.startswith(("asyncio", "builtins"))]
    method = next((vars(home)[hook] for home in homes if hook in vars(home)), None)
    if method is None:
        return f"{name} is gone: gigastt.gateway.server overrides or calls it."
    found = " ".join(list(inspect.signature(method).parameters)[1:])
    if found != parameters:
        return f"{name} takes ({found}), no longer ({parameters}): gigastt.gateway.server overrides or calls it."
    return None


def names_used(code: CodeType) -> Iterator[str]:
    """Yield the names in a function's code and in that of the functions inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_used(constant)


@pytest.mark.parametrize(("owner", "hook"), [(owner, hook) for owner, hooks in HOOKS.items() for hook in hooks])
def test_a_hook_takes_what_it_took(owner: type, hook: str) -> None:
    assert complaint(owner, hook, HOOKS[owner][hook]) is None


def test_a_hook_that_is_gone_or_changed_is_named() -> None:
    class Changed:
        def send(self, message: str, urgent: bool) -> None: ...

    assert complaint(Changed, "shutdown", "") == (
        f"{__name__}.{Changed.__qualname__}.shutdown is gone: gigastt.gateway.server overrides or calls it."
    )
    assert complaint(Changed, "send", "message") == (
        f"{__name__}.{Changed.__qualname__}.send takes (message urgent), no longer (message): "
        "gigastt.gateway.server overrides or calls it."
    )


@pytest.mark.parametrize(("caller", "name"), CALLS, ids=lambda value: getattr(value, "__qualname__", value))
def test_a_hook_is_called_from_where_it_was(caller: Callable[..., Any], name: str) -> None:
    used = set(names_used(inspect.unwrap(caller).__code__))
    assert name in used, f"{caller.__module__}.{caller.__qualname__} no longer uses `{name}`."


@pytest.mark.parametrize(("ours", "theirs"), OURS.items())
def test_every_overridden_method_is_listed(ours: type, theirs: type) -> None:
    own = {
        name
        for parent in ours.__mro__
        if parent.__module__.startswith("gigastt.")
        for name, value in vars(parent).items()
        if inspect.isfunction(value)
    }
    overridden = {name for name in own if inspect.isfunction(inspect.getattr_static(theirs, name, None))}
    assert overridden - set(HOOKS[theirs]) == set(), f"{ours.__name__} overrides what HOOKS does not list."


async def test_objects_have_the_attributes_that_are_used() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None: ...

    config = uvicorn.Config(app, lifespan="off")
    state = ServerState()
    protocols = [protocol(config, state, {}) for protocol in (HttpToolsProtocol, WebSocketsSansIOProtocol)]
    cycle = RequestResponseCycle(**dict.fromkeys(CYCLE.split()))  # type: ignore[arg-type]
    objects = [uvicorn.Server(config), *protocols, cycle, FlowControl(None), ServerProtocol()]  # type: ignore[arg-type]
    assert {type(made) for made in objects} == set(ATTRIBUTES)
    for made in objects:
        gone = [name for name in ATTRIBUTES[type(made)].split() if not hasattr(made, name)]
        assert gone == [], f"{type(made).__qualname__} has lost what gigastt.gateway.server uses: {gone}."
    assert hasattr(ServerProtocol().reader, "buffer"), "StreamReader of websockets has lost `buffer`."
    assert {"total_requests", "connections", "tasks", "default_headers"} <= set(vars(state))


def test_the_configuration_takes_the_options_that_bound_a_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None: ...

    config = ConnectionConfig(app, Deadlines(), ws_max_size=5)
    assert (config.ws_max_size, config.ws_ping_interval, config.ws_ping_timeout) == (5, 20.0, 20.0)
