"""Hosts, forwarded addresses and quotas, as tables by routes and transports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gigastt.config import Limits
from gigastt.gateway.access.client_tokens import ClientTokens, Grant
from gigastt.gateway.access.key_file import KeyLimits, add_key
from gigastt.gateway.app import create_app
from tests.fakes.asgi import WEBSOCKET, ask
from tests.fakes.gateway import echo
from tests.fakes.pool import Fakes
from tests.gateway.door import INSIDE, LOCAL, MISDIRECTED, PATHS, PROBES, Expected, expect, faults, judge

pytestmark = pytest.mark.slow

LOOPBACK, NETWORK, STAR = {}, {"host": "0.0.0.0", "bind_all": True}, {"allowed_host": ("*",)}  # type: ignore[var-annotated]
LISTED = {"allowed_host": ("asr.example",)}
HOSTS: Sequence[tuple[Sequence[str], tuple[bool, bool, bool, bool]]] = (
    # Host                                   loopback, network, listed, star
    (["localhost"], (True, True, True, True)),
    (["LOCALHOST:9876"], (True, True, True, True)),
    (["127.0.0.1:9876"], (True, True, True, True)),
    (["[::1]"], (True, True, True, True)),
    (["192.168.1.7:9876"], (False, True, False, True)),
    (["[fe80::1]:9876"], (False, True, False, True)),
    (["gigastt:9876"], (False, True, False, True)),
    (["gigastt.default.svc.cluster.local"], (False, True, False, True)),
    (["asr.example"], (False, False, True, True)),
    (["ASR.example.:443"], (False, False, True, True)),
    (["evil.example"], (False, False, False, True)),
    (["localhost.evil.example"], (False, False, False, True)),
    (["localhost@evil.example"], (False, False, False, False)),
    (["evil.example/localhost"], (False, False, False, False)),
    ([""], (False, False, False, False)),
    ([], (False, False, False, False)),
    (["localhost", "localhost"], (False, False, False, False)),
)


@pytest.mark.parametrize(("column", "settings"), list(enumerate((LOOPBACK, NETWORK, LISTED, STAR))))
async def test_hosts_by_routes_and_transports(column: int, settings: dict[str, Any]) -> None:
    app = create_app(Fakes().context(metrics=True, **settings), echo)

    def cells() -> Iterator[tuple[str, str, Sequence[tuple[str, str]], Expected]]:
        for hosts, known in HOSTS:
            for path in PATHS:
                for method in ("GET", "OPTIONS", WEBSOCKET):
                    inside = known[column] or path in PROBES
                    yield (
                        method,
                        path,
                        [("host", host) for host in hosts],
                        expect(app, path, method) if inside else MISDIRECTED,
                    )

    found = await judge(app, cells(), origin="http://localhost:1")
    assert {cell: wrong for cell, wrong in found.items() if cell.split(" ")[1] != "/ca.crt"} == {}
    for path in ("/v1/models", *PROBES):
        assert (await ask(app, "GET", path, [], http_version="1.0")).status == 200


FORWARDED: Sequence[tuple[str, Sequence[tuple[str, str]], str]] = (
    # the other end, what it says of the client, and whose bucket that is
    ("192.0.2.1", [], "192.0.2.1"),
    ("192.0.2.1", [("x-forwarded-for", "198.51.100.1")], "192.0.2.1"),  # not a proxy of ours
    ("192.0.2.1", [("x-real-ip", "198.51.100.1"), ("forwarded", "for=198.51.100.1")], "192.0.2.1"),
    ("10.0.0.1", [], "10.0.0.1"),
    ("10.0.0.1", [("x-forwarded-for", "198.51.100.1")], "198.51.100.1"),
    ("10.0.0.1", [("x-forwarded-for", "6.6.6.6, 198.51.100.1")], "198.51.100.1"),
    ("10.0.0.1", [("x-forwarded-for", "198.51.100.1, 10.0.0.2")], "198.51.100.1"),
    ("10.0.0.1", [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "198.51.100.1")], "198.51.100.1"),
    ("10.0.0.1", [("x-forwarded-for", "198.51.100.1:4711")], "198.51.100.1"),
    ("10.0.0.1", [("x-forwarded-for", "::ffff:198.51.100.1")], "198.51.100.1"),
    ("10.0.0.1", [("x-forwarded-for", "[2001:db8::1]:80")], "2001:db8::"),
    ("10.0.0.1", [("x-forwarded-for", "2001:db8::ffff:1")], "2001:db8::"),
    ("10.0.0.1", [("x-forwarded-for", "unknown")], "10.0.0.1"),
    ("10.0.0.1", [("x-forwarded-for", "")], "10.0.0.1"),
    ("10.0.0.1", [("x-forwarded-for", "198.51.100.1, garbage")], "10.0.0.1"),
    ("10.0.0.1", [("forwarded", "for=198.51.100.1"), ("x-real-ip", "198.51.100.1")], "10.0.0.1"),
)
OWNERS = {"192.0.2.1", "10.0.0.1", "198.51.100.1", "2001:db8::"}


@pytest.mark.parametrize("method", ["GET", WEBSOCKET])
@pytest.mark.parametrize(("peer", "headers", "owner"), FORWARDED)
async def test_forwarded_addresses_have_the_bucket_of_their_client(
    method: str, peer: str, headers: Sequence[tuple[str, str]], owner: str
) -> None:
    """One request empties a bucket; of all owners, only the one it counts for is refused then."""
    limits = Limits(rate_limit_per_minute=60, rate_limit_burst=1)
    path = "/v1/ws" if method == WEBSOCKET else "/v1/models"
    refused = set()
    for other in OWNERS:
        context = Fakes(clock=lambda: 5.0).context(limits, trusted_proxy=("10.0.0.0/8",))
        app = create_app(context, echo)
        let_in = await ask(app, method, path, [LOCAL, *headers], peer=peer)
        assert let_in.status in (101, 200)
        via = {"10.0.0.1": []}.get(other, [("x-forwarded-for", other)])
        second = await ask(app, "GET", "/v1/models", [LOCAL, *via], peer="10.0.0.1")
        if second.status == 429:
            refused.add(other)
            assert list(faults("GET", second, Expected(429, "rate_limited"), None, False)) == []
        assert (await ask(app, "GET", "/ready", [LOCAL, *headers], peer=peer)).status == 200
    assert refused == {owner}


SOCKETS = ("WEBSOCKET /v1/ws", "WEBSOCKET /ws", "WEBSOCKET /v1/realtime", "WEBSOCKET /v1/listen")
UPLOADS = ("POST /v1/transcribe", "POST /v1/transcribe/stream", "POST /v1/audio/transcriptions", "POST /v1/listen")
EVERYTHING = (*SOCKETS, *UPLOADS, "GET /v1/models", "GET /v1/jobs/x")
QUOTAS: Sequence[tuple[KeyLimits, str, tuple[str, ...]]] = (
    # the limit, what uses it up, and what is refused then
    (KeyLimits(requests_per_minute=1), "a request", EVERYTHING),
    (KeyLimits(sessions=1), "a session", SOCKETS),
    (KeyLimits(audio_hours_per_day=1), "audio", (*SOCKETS, *UPLOADS)),
)


def split(one: str) -> tuple[str, str]:
    method, _, path = one.partition(" ")
    return method, path


def after_limit(one: str, *, over: bool) -> Expected:
    """Return how an exchange ends when a quota is used up, or is another's."""
    if over:
        return Expected(429, "quota_exceeded")
    return Expected(101) if one.startswith(WEBSOCKET) else INSIDE


@pytest.mark.parametrize("presented", ["key", "token"])
@pytest.mark.parametrize(("limits", "used", "refused"), QUOTAS, ids=[used for _, used, _ in QUOTAS])
async def test_quotas_by_routes_and_transports(
    limits: KeyLimits, used: str, refused: tuple[str, ...], presented: str, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    held = {"key": add_key(file, "alice", limits), "other": add_key(file, "bob")}
    context = Fakes(clock=lambda: 5.0).context(api_keys_file=file)
    assert context.api_keys is not None
    usage = context.api_keys.usages[0]
    held["token"], _ = ClientTokens(context.tokens, context.api_keys).make(Grant(usage.key), 600)
    app = create_app(context, echo)
    usage.sessions += used == "a session"
    usage.hear(3600 if used == "audio" else 0)
    if used == "a request":
        assert (await ask(app, "GET", "/v1/models", [LOCAL, ("authorization", f"Bearer {held['key']}")])).status == 200
    for who in (presented, "other"):
        headers = [LOCAL, ("authorization", f"Bearer {held[who]}")]
        cells = (
            (*split(one), headers, after_limit(one, over=who == presented and one in refused)) for one in EVERYTHING
        )
        assert await judge(app, cells, origin="http://localhost:1") == {}
    for path in PROBES:
        assert (await ask(app, "GET", path)).status == 200
