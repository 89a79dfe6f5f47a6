"""What each proxy passes on and what it does not: a stand-in behind it tells."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deploy.proxies import CADDY, NAME, PROXIES, Place, Proxy, request, trusting
from tests.deploy.upstream import Asked, Upstream, upstream
from tests.waiting import wait_until

MIB = 1024 * 1024

pytestmark = pytest.mark.e2e
each_proxy = pytest.mark.parametrize("proxy", PROXIES, ids=lambda proxy: proxy.name)
# Caddy asks another server where it cannot connect, and not at a status.
each_that_asks_again = pytest.mark.parametrize(
    "proxy", [proxy for proxy in PROXIES if proxy is not CADDY], ids=lambda proxy: proxy.name
)


@asynccontextmanager
async def in_front_of(proxy: Proxy, folder: Path, *statuses: int) -> AsyncIterator[tuple[Place, list[Upstream]]]:
    """Run the proxy in front of two stand-ins that answer with these."""
    async with AsyncExitStack() as stack:
        behind = [await stack.enter_async_context(upstream(status)) for status in statuses]
        place = Place(folder, (behind[0].port, behind[1].port))
        running = proxy.running(place)
        await asyncio.to_thread(running.__enter__)
        try:
            yield place, behind
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)


def asked(behind: list[Upstream]) -> int:
    return sum(len(one.asked) for one in behind)


@each_proxy
async def test_headers_bodies_and_events_come_through(proxy: Proxy, tmp_path: Path) -> None:
    async with in_front_of(proxy, tmp_path, 200, 200) as (place, behind):
        await _headers(place, behind)
        await _an_upload_as_it_comes(place, behind)
        await _events_as_they_are_written(place, behind)
        await _nothing_of_metrics(place, behind)


async def _headers(place: Place, behind: list[Upstream]) -> None:
    lies = {"x-forwarded-for": "6.6.6.6", "forwarded": "for=6.6.6.6", "authorization": "Bearer key-of-a-client"}
    upgrade = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    key = {"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}
    # The stand-in answers 200 to the upgrade: what the proxy makes of that does not matter here.
    await asyncio.to_thread(_try, place, "GET", "/v1/ws", headers={**lies, **upgrade, **key})
    [seen] = [one for server in behind for one in server.asked]
    assert seen.path == "/v1/ws"
    assert seen.all("x-forwarded-for") == ["127.0.0.1"]
    assert seen.all("forwarded") == []
    assert seen.all("host") in ([NAME], [f"{NAME}:{place.port}"])
    assert seen.all("authorization") == ["Bearer key-of-a-client"]
    assert [value.lower() for value in seen.all("upgrade")] == ["websocket"]
    assert [value.lower() for value in seen.all("connection")] == ["upgrade"]
    assert len(seen.all("x-request-id")) == 1


async def _an_upload_as_it_comes(place: Place, behind: list[Upstream]) -> None:
    before = asked(behind)
    reached = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield bytes(2 * MIB)
        # Longer than nginx's usual limit, and at the server before its end is sent.
        await wait_until(lambda: asked(behind) > before and _last(behind).body >= MIB)
        reached.set()
        yield bytes(MIB)

    async with _client() as client:
        answer = await client.post(f"https://127.0.0.1:{place.port}/v1/transcribe", content=body(), **_named())
    assert answer.status_code == 200
    assert reached.is_set()
    assert _last(behind).body == 3 * MIB


async def _events_as_they_are_written(place: Place, behind: list[Upstream]) -> None:
    url = f"https://127.0.0.1:{place.port}/v1/transcribe/stream"
    async with _client() as client, client.stream("POST", url, content=b"audio", **_named()) as answer:
        lines = answer.aiter_lines()
        assert await asyncio.wait_for(anext(lines), 30) == "data: 1"  # the second waits until this is here
        for one in behind:
            one.go_on.set()
        assert [line async for line in lines] == ["", "data: 2", ""]


async def _nothing_of_metrics(place: Place, behind: list[Upstream]) -> None:
    before = asked(behind)
    assert (await asyncio.to_thread(request, place, "GET", "/metrics")).status_code == 404
    assert asked(behind) == before


@each_proxy
async def test_an_upload_is_never_sent_twice(proxy: Proxy, tmp_path: Path) -> None:
    async with in_front_of(proxy, tmp_path, 503, 503) as (place, behind):
        for times in range(1, 5):  # busy servers are not taken for broken ones: then it would be 502
            answer = await asyncio.to_thread(request, place, "POST", "/v1/transcribe", content=b"audio")
            assert answer.status_code == 503
            assert asked(behind) == times


@each_that_asks_again
async def test_what_one_server_is_too_busy_for_another_is_asked(proxy: Proxy, tmp_path: Path) -> None:
    async with in_front_of(proxy, tmp_path, 503, 200) as (place, behind):
        for times in range(1, 50):  # until the one that says 503 has been asked too, by turns or by lot
            assert (await asyncio.to_thread(request, place, "GET", "/v1/models")).status_code == 200
            assert len(behind[1].asked) == times
            if behind[0].asked:
                break
        assert behind[0].asked


def _last(behind: list[Upstream]) -> Asked:
    return next(one.asked[-1] for one in behind if one.asked and one.asked[-1].path == "/v1/transcribe")


def _try(place: Place, method: str, path: str, **options: object) -> None:
    with contextlib.suppress(httpx.HTTPError):
        request(place, method, path, **options)


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(verify=trusting(), timeout=60.0)


def _named() -> dict[str, Any]:
    return {"headers": {"host": NAME}, "extensions": {"sni_hostname": NAME}}
