"""Policies over WebSocket: refusals come before the upgrade, as the ordinary JSON errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import websockets
from websockets.typing import Subprotocol

from gigastt.config import Limits
from gigastt.gateway.context import AppContext
from tests.fakes.gateway import serving
from tests.fakes.pool import Fakes
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

KEY = "secret-key-123"


async def handshake(context: AppContext, path: str = "/v1/ws", **options: Any) -> tuple[int, dict[str, str], str]:
    """Try to open a WebSocket; return status, headers and the refusal's code."""
    async with serving(context) as running:
        try:
            async with websockets.connect(f"{running.ws}{path}", **options) as session:
                assert session.response is not None
                return 101, {name.lower(): value for name, value in session.response.headers.raw_items()}, ""
        except websockets.InvalidStatus as exc:
            headers = {name.lower(): value for name, value in exc.response.headers.raw_items()}
            assert headers["content-type"] == "application/json"
            return exc.response.status_code, headers, json.loads(exc.response.body or b"{}")["code"]


@pytest.mark.parametrize(
    ("origin", "options", "status"),
    [
        (None, {}, 101),
        ("http://localhost:3000", {}, 101),
        ("https://127.0.0.1", {}, 101),
        ("null", {}, 403),
        ("null", {"allow_origin": ("null",)}, 101),
        ("http://localhost.evil.example", {}, 403),
        ("http://localhost@evil.example", {}, 403),
        ("http://evil.example", {}, 403),
        ("https://app.example", {"allow_origin": ("https://app.example",)}, 101),
        ("null", {"host": "0.0.0.0", "bind_all": True}, 403),
        ("http://evil.example", {"cors_allow_any": True}, 101),
    ],
)
async def test_origins_over_websocket(origin: str | None, options: dict[str, Any], status: int) -> None:
    answered, headers, code = await handshake(Fakes().context(**options), origin=origin)
    assert answered == status
    assert headers["vary"] == "Origin"
    assert headers["x-request-id"]
    assert headers.get("access-control-allow-origin") == (origin if status == 101 else None)
    assert code == ("origin_denied" if status == 403 else "")


@pytest.mark.parametrize(("host", "status"), [("localhost", 101), ("evil.example", 421), ("192.168.1.9", 421)])
async def test_hosts_over_websocket(host: str, status: int) -> None:
    context = Fakes().context()
    async with serving(context) as running:
        uri = f"ws://{host}:{running.port}/v1/ws"
        try:
            async with websockets.connect(uri, host="127.0.0.1", port=running.port, proxy=None):
                answered = 101
        except websockets.InvalidStatus as exc:
            answered = exc.response.status_code
    assert answered == status


async def test_the_rate_limit_counts_handshakes() -> None:
    context = Fakes(clock=lambda: 1.0).context(Limits(rate_limit_per_minute=60, rate_limit_burst=1))
    assert (await handshake(context))[0] == 101
    status, headers, code = await handshake(context)
    assert (status, code, headers["retry-after"]) == (429, "rate_limited", "1")


async def test_a_websocket_asks_for_a_key(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(KEY)
    context = Fakes().context(api_keys_file=tmp_path / "keys")
    status, headers, code = await handshake(context)
    assert (status, code) == (401, "unauthorized")
    assert headers["www-authenticate"].startswith("Bearer")
    assert (await handshake(context, f"/v1/ws?api_key={KEY}"))[0] == 401
    assert (await handshake(context, additional_headers={"Authorization": f"Bearer {KEY}"}))[0] == 101
    assert (await handshake(context, subprotocols=[Subprotocol("gigastt.bearer.wrong-key")]))[0] == 401


@pytest.mark.parametrize(
    ("offered", "answered"),
    [
        (["gigastt.v1", f"gigastt.bearer.{KEY}"], "gigastt.v1"),
        ([f"gigastt.bearer.{KEY}"], f"gigastt.bearer.{KEY}"),
    ],
)
async def test_a_key_as_a_subprotocol_is_answered_with_one_that_was_offered(
    tmp_path: Path, offered: list[Subprotocol], answered: str
) -> None:
    (tmp_path / "keys").write_text(KEY)
    context = Fakes().context(api_keys_file=tmp_path / "keys")
    status, headers, _ = await handshake(context, subprotocols=offered)
    assert (status, headers["sec-websocket-protocol"]) == (101, answered)


async def test_a_request_id_is_echoed_on_the_upgrade() -> None:
    _, headers, _ = await handshake(Fakes().context(), additional_headers={"X-Request-Id": "my-id"})
    assert headers["x-request-id"] == "my-id"


async def test_the_old_address_works_and_says_that_it_is_old() -> None:
    _, old, _ = await handshake(Fakes().context(), "/ws")
    assert old["deprecation"] == "true"
    assert old["link"] == '</v1/ws>; rel="successor-version"'
    _, new, _ = await handshake(Fakes().context())
    assert "deprecation" not in new


async def test_open_connections_are_counted() -> None:
    context = Fakes().context()

    def gauge() -> float | None:
        return context.metrics.registry.get_sample_value("gigastt_ws_active_connections")

    async with serving(context) as running:
        async with websockets.connect(f"{running.ws}/v1/ws"):
            await wait_until(lambda: gauge() == 1)
        await wait_until(lambda: gauge() == 0)
    labels = {"method": "GET", "path": "/v1/ws", "status": "101"}
    assert context.metrics.registry.get_sample_value("gigastt_http_requests_total", labels) == 1
