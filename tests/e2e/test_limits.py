"""Limits: each is told with its code, and the server goes on."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gigastt.gateway.server.caps import MOST_REFUSED
from tests.clips import load_clips
from tests.live_client import LiveClient, live_client, transcribe_live
from tests.server import ServerProcess
from tests.waiting import wait_for, wait_until

CLIP = load_clips()[1]


@pytest.fixture(scope="module")
def narrow_server() -> Iterator[ServerProcess]:
    """One session at a time, small frames and bodies, short waits."""
    with ServerProcess(
        *("--pool-size", "1", "--max-sessions", "1", "--pool-checkout-timeout-secs", "0.3"),
        *("--ws-frame-max-bytes", "65536", "--body-limit-bytes", "500000", "--metrics"),
    ) as running:
        yield running


@pytest.fixture
def idle_server() -> Iterator[ServerProcess]:
    """Sessions may be idle for two seconds."""
    with ServerProcess("--pool-size", "1", "--idle-timeout-secs", "2") as running:
        yield running


@pytest.fixture
def hasty_server() -> Iterator[ServerProcess]:
    """Sessions may last for three seconds."""
    with ServerProcess("--pool-size", "1", "--max-session-secs", "3") as running:
        yield running


async def test_waiting_for_a_place_ends_with_retry_after(narrow_server: ServerProcess) -> None:
    async with live_client(narrow_server.websocket_url) as first:
        await first.wait_for(lambda c: c.of("ready"))
        async with live_client(narrow_server.websocket_url) as second:
            await second.wait_closed()
        assert [message["code"] for message in second.messages] == ["timeout"]
        assert second.messages[0]["retry_after_ms"] > 0
        upload = narrow_server.post("/v1/transcribe", CLIP.path.read_bytes())
        assert upload.status_code == 200  # it has a place of another kind


async def test_an_oversized_frame_closes_with_1009_and_the_server_goes_on(narrow_server: ServerProcess) -> None:
    async with live_client(narrow_server.websocket_url) as client:
        await client.wait_for(lambda c: c.of("ready"))
        await client.socket.send(bytes(65_537))
        await client.wait_closed()
    assert client.close_code == 1009
    await wait_until(lambda: narrow_server.get("/ready").json()["pool_available"] == 1)
    assert (await transcribe_live(narrow_server.websocket_url, CLIP.pcm)).text == "Закрой шторы в спальне."


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
def test_an_oversized_body_is_413_and_the_server_goes_on(narrow_server: ServerProcess, announced: bool) -> None:
    body = bytes(600_000)
    response = narrow_server.post("/v1/transcribe", body if announced else iter([body]))  # type: ignore[arg-type]
    assert response.status_code == 413
    assert response.json()["code"] == "payload_too_large"
    assert narrow_server.get("/health").status_code == 200


async def test_an_idle_session_gets_its_final_first(idle_server: ServerProcess) -> None:
    async with live_client(idle_server.websocket_url) as client:
        await client.configure(sample_rate=16_000)
        await client.stream(CLIP.pcm[:60_000])  # the speech has begun and has not ended
        await client.wait_closed()
    assert client.close_code == 1001
    assert client.of("error")[-1]["code"] == "idle_timeout"
    assert client.finals[-1]["endpoint_reason"] == "timeout"


async def next_message(client: LiveClient) -> None:
    heard = len(client.messages)
    await client.wait_for(lambda c: len(c.messages) > heard)


async def keep_speaking(client: LiveClient) -> None:
    """Send the same second of speech again and again, whenever the last one has been heard, until the session ends."""
    with contextlib.suppress(ConnectionClosed):
        while client.close_code is None:
            await client.stream(CLIP.pcm[20_000:52_000])
            await next_message(client)


async def test_a_long_session_gets_its_final_first(hasty_server: ServerProcess) -> None:
    async with live_client(hasty_server.websocket_url) as client:
        await client.configure(sample_rate=16_000)
        await client.stream(CLIP.pcm[:60_000])
        speaking = asyncio.create_task(keep_speaking(client))
        await client.wait_closed()
        await speaking
    assert client.close_code == 1008
    assert client.of("error")[-1]["code"] == "max_session_duration_exceeded"
    assert client.finals[-1]["endpoint_reason"] == "timeout"


def test_metrics_are_off_by_default(server: ServerProcess) -> None:
    response = server.get("/metrics")
    assert (response.status_code, response.json()["code"]) == (404, "metrics_disabled")


def test_unknown_paths_add_no_series(narrow_server: ServerProcess) -> None:
    def series() -> set[str]:
        lines = narrow_server.get("/metrics").text.splitlines()
        return {line.rsplit(" ", 1)[0] for line in lines if line and not line.startswith("#")}

    assert narrow_server.get("/nowhere").status_code == 404
    series()
    before = series()
    for number in range(30):
        response = narrow_server.get(f"/nowhere/{number}")
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert series() == before
    assert "gigastt_http_requests_total" in narrow_server.get("/metrics").text


def test_the_rate_limit_refuses_the_fourth_and_recovers(tmp_path: Path) -> None:
    config = tmp_path / "gigastt.toml"
    config.write_text("rate-limit-per-minute = 1\nrate-limit-burst = 3\n", encoding="utf-8")
    with ServerProcess("--pool-size", "1", "--config", str(config)) as server:
        answers = [server.get("/v1/models", headers={"x-forwarded-for": f"192.0.2.{number}"}) for number in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[-1].json()["code"] == "rate_limited"
        assert answers[-1].json()["retry_after_ms"] > 0
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert server.get("/health").status_code == 200
        config.write_text("rate-limit-per-minute = 600\nrate-limit-burst = 3\n", encoding="utf-8")
        server.signal(signal.SIGHUP)  # or one would have to wait for a minute
        wait_for(lambda: server.get("/v1/models").status_code == 200)


async def test_an_address_gets_so_many_connections_and_its_place_back() -> None:
    with ServerProcess("--pool-size", "1", "--max-connections-per-address", "2") as server:
        async with live_client(server.websocket_url), live_client(server.websocket_url):
            refused = server.get("/v1/models")
            assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
            assert refused.headers["retry-after"] == "1"
            assert server.get("/health").status_code == 200
            with pytest.raises(InvalidStatus) as upgrade:
                async with live_client(server.websocket_url):
                    pass
            assert upgrade.value.response.status_code == 429
            async with AsyncExitStack() as crowd:
                silent = []
                for _ in range(3 * MOST_REFUSED):
                    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                    crowd.callback(writer.close)
                    silent.append(reader)
                await wait_until(lambda: sum(reader.at_eof() for reader in silent) >= 2 * MOST_REFUSED)
        await wait_until(lambda: server.get("/v1/models").status_code == 200)
