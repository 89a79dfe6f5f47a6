"""Who gets in, as tables: origins and keys by every route, method and transport, at each listener.

Each table is one test, which shows every cell that is wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from gigastt.authority import Authority, own_authority
from gigastt.gateway.access.client_tokens import ClientTokens, Grant
from gigastt.gateway.access.key_file import add_key, revoke_key
from gigastt.gateway.access.tokens import Tokens
from gigastt.gateway.app import create_app, create_metrics_app, create_plain_app, create_vosk_app
from gigastt.gateway.context import AppContext
from gigastt.gateway.pages import FILES
from gigastt.gateway.requests import find_route
from gigastt.reloading import reload_keys
from tests.fakes.asgi import WEBSOCKET, ask
from tests.fakes.gateway import ROUTES, echo
from tests.fakes.pool import Fakes
from tests.gateway.door import (
    FOLLOWING,
    FORBIDDEN,
    LOCAL,
    METHODS,
    MISDIRECTED,
    MISSING,
    NAMES,
    PATHS,
    SECRET_MAKERS,
    UNAUTHORIZED,
    Expected,
    expect,
    faults,
    filled,
    judge,
    sockets_of,
)

pytestmark = pytest.mark.slow

ORIGINS: Mapping[str | None, bool] = {
    None: True,
    "http://127.0.0.1:9876": True,  # the server's own page
    "http://localhost:3000": True,
    "https://[::1]": True,
    "HTTPS://LocalHost": True,
    "https://app.example": True,  # listed
    "https://app.example:8443": False,
    "https://app.example.evil.example": False,
    "http://localhost.evil.example": False,
    "http://localhost@evil.example": False,
    "http://evil.example": False,
    "null": False,
    "file://": False,
    "": False,
}


@pytest.mark.parametrize(("origin", "allowed"), list(ORIGINS.items()))
async def test_origins_by_routes_methods_and_transports(origin: str | None, allowed: bool) -> None:
    app = create_app(Fakes().context(allow_origin=("https://app.example",), metrics=True), echo)
    cells = (
        (method, path, [LOCAL], expect(app, path, method, origin_allowed=allowed))
        for path in PATHS
        for method in METHODS
    )
    # No authority: its certificate is as missing as anything that is not there.
    found = await judge(app, cells, origin=origin, allowed=allowed and origin is not None)
    assert {cell: wrong for cell, wrong in found.items() if cell.split(" ")[1] != "/ca.crt"} == {}


@dataclass(frozen=True)
class Holder:
    """Someone who presents something, and where that opens the door."""

    name: str
    presented: Callable[[Mapping[str, str]], Sequence[tuple[str, str]]]
    opens: Callable[[str | None, str], bool]


def bearer(which: str, scheme: str = "Bearer") -> Callable[[Mapping[str, str]], Sequence[tuple[str, str]]]:
    return lambda held: [("authorization", f"{scheme} {held[which]}")]


def never(route: str | None, method: str) -> bool:
    return False


def always(route: str | None, method: str) -> bool:
    return True


def makes_nothing(route: str | None, method: str) -> bool:
    return route not in SECRET_MAKERS and (route, method) != ("/v1/tokens", "POST")


HOLDERS = (
    Holder("nothing", lambda held: [], never),
    Holder("a wrong key", lambda held: [("authorization", "Bearer wrong-key-123")], never),
    Holder("an empty key", lambda held: [("authorization", "Bearer ")], never),
    Holder("another scheme", bearer("key", "Basic"), never),
    Holder("two keys", lambda held: [("authorization", f"Bearer {held['key']}")] * 2, never),
    Holder("a cookie", lambda held: [("cookie", f"key={held['key']}"), ("x-api-key", held["key"])], never),
    Holder("a revoked key", bearer("revoked key"), never),
    Holder("an expired token", bearer("expired"), never),
    Holder("a token of another server", bearer("foreign"), never),
    Holder("a token of a revoked key", bearer("revoked token"), never),
    Holder("a token that was changed", lambda held: [("authorization", f"Bearer {held['token'][:-2]}AA")], never),
    Holder("a key", bearer("key"), always),
    Holder("a key as Deepgram's", bearer("key", "Token"), always),
    Holder(
        "a token",
        bearer("token"),
        makes_nothing,
    ),
    Holder(
        "a token for captions",
        bearer("captions"),
        lambda route, method: route == FOLLOWING and method in ("GET", "HEAD", WEBSOCKET),
    ),
    Holder(
        "a secret of Realtime",
        bearer("realtime"),
        lambda route, method: route == "/v1/realtime" and method == WEBSOCKET,
    ),
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = own_authority(tmp_path_factory.mktemp("tls"), [])
    authority.ensure()
    return authority


@pytest.fixture
def guarded(tmp_path: Path, authority: Authority) -> tuple[AppContext, dict[str, str]]:
    """A server that asks for keys, and what its holders hold."""
    file = tmp_path / "keys"
    held = {"key": add_key(file, "alice"), "revoked key": add_key(file, "gone")}
    context = Fakes().context(api_keys_file=file, metrics=True)
    context.authority = authority
    assert context.api_keys is not None
    alice, gone = context.api_keys.accepted
    tokens = ClientTokens(context.tokens, context.api_keys)
    held["token"], _ = tokens.make(Grant(alice), 600)
    held["captions"], _ = tokens.make(Grant(alice, session=NAMES["{id}"]), 600)
    held["realtime"], _ = tokens.make(Grant(alice, realtime={}), 600)
    held["revoked token"], _ = tokens.make(Grant(gone), 600)
    held["expired"], _ = tokens.make(Grant(alice), 0)
    held["foreign"], _ = ClientTokens(Tokens(), context.api_keys).make(Grant(alice), 600)
    revoke_key(file, "gone")
    reload_keys(context)
    return context, held


@pytest.mark.parametrize("holder", HOLDERS, ids=[holder.name for holder in HOLDERS])
async def test_keys_and_tokens_by_routes_methods_and_transports(
    holder: Holder, guarded: tuple[AppContext, dict[str, str]]
) -> None:
    context, held = guarded
    app = create_app(context, echo)
    headers = [LOCAL, *holder.presented(held)]
    cells = (
        (method, path, headers, expect(app, path, method, opens=holder.opens(find_route(ROUTES, path), method)))
        for path in PATHS
        for method in METHODS
    )
    assert await judge(app, cells, origin="http://localhost:1") == {}


SUBPROTOCOLS: Sequence[tuple[Callable[[str], list[str]], bool]] = (
    (lambda key: [], False),
    (lambda key: ["gigastt.v1"], False),
    (lambda key: ["gigastt.bearer."], False),
    (lambda key: [key], False),
    (lambda key: ["gigastt.v1", f"gigastt.bearer.{key}"], True),
    (lambda key: [f"gigastt.bearer.{key}"], True),
    (lambda key: ["realtime", f"openai-insecure-api-key.{key}"], True),
    (lambda key: ["token", key], True),
)


@pytest.mark.parametrize("which", ["key", "token", "revoked key", "expired"])
async def test_keys_as_subprotocols(which: str, guarded: tuple[AppContext, dict[str, str]]) -> None:
    context, held = guarded
    app = create_app(context, echo)
    wrong = {}
    for protocols, is_a_key in SUBPROTOCOLS:
        offered, opens = protocols(held[which]), is_a_key and which in ("key", "token")
        for path in sorted(map(filled, sockets_of(app))):
            answer = await ask(app, WEBSOCKET, path, [LOCAL], subprotocols=offered)
            found = list(faults(WEBSOCKET, answer, Expected(101) if opens else UNAUTHORIZED, None, False))
            if found:
                wrong[f"{path} {offered}"] = found
            plain = await ask(app, "GET", "/v1/models", [LOCAL, ("sec-websocket-protocol", ", ".join(offered))])
            assert plain.status == 401, "a subprotocol is no key of a request"
    assert wrong == {}


async def test_a_key_in_a_url_is_none(guarded: tuple[AppContext, dict[str, str]]) -> None:
    context, held = guarded
    app = create_app(context, echo)
    for name in ("key", "api_key", "token", "access_token", "authorization"):
        for method, path in (("GET", "/v1/models"), (WEBSOCKET, "/v1/ws"), (WEBSOCKET, "/v1/listen")):
            assert (await ask(app, method, f"{path}?{name}={held['key']}", [LOCAL])).status == 401


async def test_the_listener_of_metrics_asks_for_no_key_but_looks_at_the_host(
    guarded: tuple[AppContext, dict[str, str]],
) -> None:
    app = create_metrics_app(guarded[0])
    assert (await ask(app, "GET", "/metrics", [LOCAL])).status == 200
    cells = {
        ("GET", "/nothing"): MISSING,
        ("POST", "/metrics"): Expected(405, "method_not_allowed"),
        (WEBSOCKET, "/v1/ws"): MISSING,
    }
    for (method, path), expected in cells.items():
        assert list(faults(method, await ask(app, method, path, [LOCAL]), expected, None, False)) == []
    denied = await ask(app, "GET", "/metrics", [("host", "evil.example")])
    assert list(faults("GET", denied, MISDIRECTED, None, False)) == []


async def test_the_listener_of_vosk_has_the_policies_of_the_servers_own(
    guarded: tuple[AppContext, dict[str, str]],
) -> None:
    context, held = guarded
    app = create_vosk_app(context)
    key = ("authorization", f"Bearer {held['key']}")
    cells: Mapping[tuple[str, tuple[tuple[str, str], ...]], Expected] = {
        (WEBSOCKET, (LOCAL, key)): Expected(101),
        (WEBSOCKET, (LOCAL,)): UNAUTHORIZED,
        (WEBSOCKET, (("host", "evil.example"), key)): MISDIRECTED,
        (WEBSOCKET, (LOCAL, key, ("origin", "http://evil.example"))): FORBIDDEN,
        ("GET", (LOCAL, key)): Expected(426, "upgrade_required"),
    }
    for (method, headers), expected in cells.items():
        assert list(faults(method, await ask(app, method, "/", headers), expected, None, False)) == []


async def test_plain_http_on_a_port_with_tls_gets_nothing(guarded: tuple[AppContext, dict[str, str]]) -> None:
    context, held = guarded
    app = create_plain_app(context)
    headers = [LOCAL, ("authorization", f"Bearer {held['key']}")]
    for method, path in itertools.product(METHODS, PATHS):
        answer = await ask(app, method, path, headers)
        if method in ("GET", "HEAD"):
            is_given = path in ("/", "/ca.crt", filled(FILES))  # FILES: what the page that explains it needs
            assert answer.status == (200 if is_given else 307)
        else:
            assert list(faults(method, answer, Expected(400, "tls_required"), None, False)) == []
