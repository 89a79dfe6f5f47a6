"""Policies over HTTP: who gets past the door, in which order, and what a refusal looks like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from gigastt.config import Limits
from gigastt.errors import InvalidAudio
from gigastt.gateway.context import AppContext
from gigastt.log import fields_of
from tests.fakes.gateway import http_client
from tests.fakes.pool import Fakes

KEY = "secret-key-123"


async def get(
    context: AppContext, path: str = "/v1/models", *, peer: str = "127.0.0.1", **headers: str
) -> httpx.Response:
    async with http_client(context, peer) as client:
        return await client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def code(response: httpx.Response) -> str:
    return str(response.json()["code"])


@pytest.mark.parametrize(
    ("origin", "settings", "status"),
    [
        ("http://localhost:3000", {}, 200),
        ("HTTPS://LocalHost", {}, 200),
        ("http://[::1]:5", {}, 200),
        ("null", {}, 403),
        ("null", {"allow_origin": ("null",)}, 200),
        ("http://evil.example", {}, 403),
        ("http://localhost.evil.example", {}, 403),
        ("http://localhost@evil.example", {}, 403),
        ("https://app.example", {"allow_origin": ("https://app.example",)}, 200),
        ("https://app.example.evil.example", {"allow_origin": ("https://app.example",)}, 403),
        ("http://evil.example", {"cors_allow_any": True}, 200),
        ("null", {"host": "0.0.0.0", "bind_all": True}, 403),
        ("null", {"host": "0.0.0.0", "bind_all": True, "allow_origin": ("null",)}, 200),
        ("http://127.0.0.1:8080", {"host": "0.0.0.0", "bind_all": True}, 200),
    ],
)
async def test_origins_over_http(origin: str, settings: dict[str, Any], status: int) -> None:
    response = await get(Fakes().context(**settings), origin=origin)
    assert response.status_code == status
    assert response.headers["vary"] == "Origin"
    if status == 200:
        assert response.headers["access-control-allow-origin"] == origin
        assert "x-request-id" in response.headers["access-control-expose-headers"]
    else:
        assert code(response) == "origin_denied"
        assert "access-control-allow-origin" not in response.headers


async def test_answers_without_an_origin_vary_too() -> None:
    response = await get(Fakes().context())
    assert response.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in response.headers


async def test_errors_can_be_read_by_allowed_pages() -> None:
    response = await get(Fakes().context(), "/nothing", origin="http://localhost:3000")
    assert response.status_code == 404
    assert response.headers["access-control-allow-origin"] == "http://localhost:3000"


async def preflight(context: AppContext, origin: str, path: str = "/v1/transcribe") -> httpx.Response:
    async with http_client(context) as client:
        headers = {"origin": origin, "access-control-request-method": "POST"}
        return await client.options(path, headers=headers)


async def test_preflights_are_answered_without_a_key(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(KEY)
    response = await preflight(Fakes().context(api_keys_file=tmp_path / "keys"), "http://localhost:1")
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == "http://localhost:1"
    assert response.headers["access-control-allow-methods"] == "POST, OPTIONS"
    assert "authorization" in response.headers["access-control-allow-headers"]
    assert response.headers["vary"] == "Origin"


async def test_a_preflight_allows_the_headers_of_any_library() -> None:
    async with http_client(Fakes().context()) as client:
        headers = {"origin": "http://localhost:1", "access-control-request-method": "POST"}
        asked = "authorization, content-type, x-stainless-lang"
        response = await client.options(
            "/v1/audio/transcriptions", headers=headers | {"access-control-request-headers": asked}
        )
    assert response.headers["access-control-allow-headers"] == asked


async def test_preflights_of_strangers_are_refused() -> None:
    response = await preflight(Fakes().context(), "http://evil.example")
    assert response.status_code == 403
    assert "access-control-allow-methods" not in response.headers


@pytest.mark.parametrize(
    ("host", "settings", "status"),
    [
        ("localhost:9876", {}, 200),
        ("[::1]:9876", {}, 200),
        ("evil.example", {}, 421),
        ("192.168.1.7", {}, 421),
        ("192.168.1.7", {"host": "0.0.0.0", "bind_all": True}, 200),
        ("evil.example", {"host": "0.0.0.0", "bind_all": True}, 421),
        ("asr.example", {"host": "0.0.0.0", "bind_all": True, "allowed_host": ("asr.example",)}, 200),
    ],
)
async def test_hosts_over_http(host: str, settings: dict[str, Any], status: int) -> None:
    response = await get(Fakes().context(**settings), host=host)
    assert response.status_code == status
    if status == 421:
        assert code(response) == "host_denied"
        assert f"'{host}'" in response.json()["error"]
        assert "--allowed-host" in response.json()["error"]


@pytest.mark.parametrize("path", ["/health", "/ready"])
@pytest.mark.parametrize("headers", [{"host": "gigastt.speech.svc:9876"}, {"origin": "http://evil.example"}])
async def test_probes_are_answered_by_any_name(path: str, headers: dict[str, str]) -> None:
    assert (await get(Fakes().context(), path, **headers)).status_code == 200


async def test_a_refusal_says_whose_pages_may_not_and_what_to_do() -> None:
    refused = await get(Fakes().context(), origin="http://evil.example")
    assert "'http://evil.example'" in refused.json()["error"]
    assert "--allow-origin" in refused.json()["error"]


async def test_a_refused_name_is_in_the_log_and_harms_nobody_there(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gigastt")
    await get(Fakes().context(), host="evil.example" + "x" * 1000)
    events = [fields_of(record) for record in caplog.records]
    [denied] = [event for event in events if event["event"] == "host_denied"]
    assert str(denied["host"]).startswith("'evil.example")
    assert len(str(denied["host"])) <= 102
    assert denied["allowed_by"] == "--allowed-host"


async def test_a_refused_origin_is_in_the_log_with_the_flag_that_allows_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gigastt")
    await get(Fakes().context(), origin="http://evil.example")
    [denied] = [event for event in map(fields_of, caplog.records) if event["event"] == "origin_denied"]
    assert (denied["origin"], denied["allowed_by"]) == ("'http://evil.example'", "--allow-origin")


@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": "http://evil.example"}])
async def test_refusals_take_tokens_too(headers: dict[str, str]) -> None:
    context = Fakes(clock=lambda: 5.0).context(Limits(rate_limit_per_minute=60, rate_limit_burst=2))
    statuses = [(await get(context, **headers)).status_code for _ in range(4)]
    assert statuses[0] == statuses[1] == (421 if "host" in headers else 403)
    assert statuses[2:] == [429, 429]


async def test_unknown_addresses_name_the_documentation_and_the_root_has_options() -> None:
    async with http_client(Fakes().context()) as client:
        assert "docs/protocol.md" in (await client.get("/nothing")).json()["error"]
        response = await client.options("/")  # what HAProxy asks when it is told no more than to ask
    assert (response.status_code, response.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        ("http://192.168.1.5:9876", "192.168.1.5:9876", 422),
        ("https://192.168.1.5:9876", "192.168.1.5:9876", 422),
        ("http://192.168.1.5", "192.168.1.5:9876", 403),
        ("http://192.168.1.6:9876", "192.168.1.5:9876", 403),
        ("null", "192.168.1.5:9876", 403),
        ("ftp://192.168.1.5:9876", "192.168.1.5:9876", 403),
        ("http://evil.example", "evil.example", 421),  # a name that was pointed at this machine
    ],
)
async def test_pages_of_the_server_itself_may_use_it(origin: str, host: str, status: int) -> None:
    fakes = Fakes()
    fakes.decoder.error = InvalidAudio("No audio.")
    async with http_client(fakes.context(host="0.0.0.0", bind_all=True)) as client:
        headers = {"origin": origin, "host": host}
        assert (await client.post("/v1/transcribe", content=b"1234", headers=headers)).status_code == status


async def test_the_fourth_request_of_a_burst_of_three_waits_and_recovers() -> None:
    now = [1000.0]
    context = Fakes(clock=lambda: now[0]).context(Limits(rate_limit_per_minute=60, rate_limit_burst=3))
    for _ in range(3):
        assert (await get(context)).status_code == 200
    refused = await get(context, origin="http://localhost:1")
    assert refused.status_code == 429
    assert code(refused) == "rate_limited"
    assert refused.json()["retry_after_ms"] == 1000
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["access-control-allow-origin"] == "http://localhost:1"
    assert context.metrics.registry.get_sample_value("gigastt_rate_limit_rejections_total") == 1
    for path in ("/health", "/ready"):
        assert (await get(context, path)).status_code == 200
    now[0] += 1.0
    assert (await get(context)).status_code == 200
    assert (await get(context)).status_code == 429


@pytest.mark.parametrize(
    "headers",
    [
        {"x_forwarded_for": "1.2.3.4"},
        {"x_forwarded_for": "127.0.0.1, 1.2.3.4"},
        {"forwarded": "for=1.2.3.4"},
        {"x_real_ip": "1.2.3.4"},
        {"x_request_id": "other"},
        {"origin": "http://localhost:77"},
        {"authorization": "Bearer other-key-123"},
        {"user_agent": "other"},
        {"host": "[::1]"},
    ],
)
async def test_nothing_a_client_writes_gives_it_another_bucket(headers: dict[str, str]) -> None:
    context = Fakes(clock=lambda: 5.0).context(Limits(rate_limit_per_minute=60, rate_limit_burst=1))
    assert (await get(context)).status_code == 200
    for number in range(3):
        changed = {name: value.replace("1.2.3.4", f"1.2.3.{number}") for name, value in headers.items()}
        assert (await get(context, **changed)).status_code == 429


async def test_other_methods_and_unknown_paths_take_tokens_too() -> None:
    context = Fakes(clock=lambda: 5.0).context(Limits(rate_limit_per_minute=60, rate_limit_burst=1))
    assert (await get(context, "/nothing")).status_code == 404
    assert (await preflight(context, "http://localhost:1")).status_code == 429
    assert (await get(context, "//health")).status_code == 429


async def test_a_trusted_proxy_tells_clients_apart() -> None:
    limits = Limits(rate_limit_per_minute=60, rate_limit_burst=1)
    context = Fakes(clock=lambda: 5.0).context(limits, trusted_proxy=("127.0.0.1/32",))
    assert (await get(context, x_forwarded_for="198.51.100.1")).status_code == 200
    assert (await get(context, x_forwarded_for="198.51.100.2")).status_code == 200
    assert (await get(context, x_forwarded_for="6.6.6.6, 198.51.100.1")).status_code == 429
    assert (await get(context, peer="192.0.2.1", x_forwarded_for="198.51.100.3")).status_code == 200
    assert (await get(context, peer="192.0.2.1", x_forwarded_for="198.51.100.4")).status_code == 429


async def test_new_limits_apply_to_the_next_request() -> None:
    context = Fakes(clock=lambda: 5.0).context()
    assert (await get(context)).status_code == 200
    context.change_limits(Limits(rate_limit_per_minute=60, rate_limit_burst=1))
    assert (await get(context)).status_code == 200
    assert (await get(context)).status_code == 429


async def test_keys_are_asked_for_everywhere_but_on_probes(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{KEY}\n")
    context = Fakes().context(api_keys_file=tmp_path / "keys", metrics=True)
    for path in ("/v1/models", "/metrics", "/nothing", "/v1/ws"):
        refused = await get(context, path)
        assert refused.status_code == 401
        assert code(refused) == "unauthorized"
        assert refused.headers["www-authenticate"].startswith("Bearer")
    for path in ("/health", "/ready"):
        assert (await get(context, path)).status_code == 200
    assert (await get(context, authorization=f"Bearer {KEY}")).status_code == 200
    assert (await get(context, authorization=f"Bearer {KEY}x")).status_code == 401
    assert (await get(context, f"/v1/models?api_key={KEY}")).status_code == 401
    assert (await get(context, sec_websocket_protocol=f"gigastt.bearer.{KEY}")).status_code == 401


async def test_a_query_has_so_many_parameters_and_no_more() -> None:
    context = Fakes().context()
    assert (await get(context, "/v1/models?" + "&".join(["a=1"] * 1_000))).status_code == 200
    refused = await get(context, "/v1/models?" + "&" * 1_000)
    assert (refused.status_code, code(refused)) == (400, "invalid_parameter")
    assert (await get(context, "/health?" + "&" * 1_000)).status_code == 200
