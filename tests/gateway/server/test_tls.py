"""TLS: requests, uploads and WebSockets, peers that end in the middle, and a renewed certificate."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from gigastt.config import Settings, check_settings
from gigastt.errors import ConfigError
from gigastt.gateway.server.deadlines import Deadlines
from gigastt.gateway.server.tls import Certificate
from gigastt.log import fields_of
from gigastt.reloading import reload_certificate
from tests.certificates import Pair, make_certificate
from tests.fakes.gateway import Running, serving
from tests.fakes.pool import Fakes
from tests.hostile.raw_http import on_uvloop
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make_certificate(tmp_path)


@asynccontextmanager
async def serving_tls(pair: Pair, **options: Any) -> AsyncIterator[Running]:
    async with serving(Fakes().context(), certificate=Certificate(pair.chain, pair.key), **options) as running:
        yield running


async def open_line(running: Running, trust: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", running.port, ssl=trust)


async def certificate_seen(running: Running, trust: ssl.SSLContext) -> bytes | None:
    _, writer = await open_line(running, trust)
    shown: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return shown


@on_uvloop
async def test_requests_and_uploads_go_over_tls(pair: Pair) -> None:
    async with (
        serving_tls(pair) as running,
        httpx.AsyncClient(verify=pair.trust(), base_url=f"https://127.0.0.1:{running.port}", timeout=30) as client,
    ):
        assert (await client.get("/health")).status_code == 200
        body = b"\0" * 3_000_000
        response = await client.post("/v1/transcribe", content=body)
        assert response.status_code == 200, response.text
        refused = await client.post("/v1/nothing", content=body)
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
        assert (await client.get("/ready", headers={"host": "gigastt.speech.svc"})).status_code == 200


@on_uvloop
async def test_websockets_go_over_tls(pair: Pair) -> None:
    async with (
        serving_tls(pair) as running,
        connect(f"wss://127.0.0.1:{running.port}/v1/ws", ssl=pair.trust()) as client,
    ):
        for size in (1, 320, 100_000):
            await client.send(b"\0" * size)
            assert json.loads(await client.recv()) == {"bytes": size}


@on_uvloop
async def test_a_websocket_that_breaks_a_rule_is_told_its_code(pair: Pair) -> None:
    async with serving_tls(pair, deadlines=Deadlines(linger=0.5)) as running:
        async with connect(f"wss://127.0.0.1:{running.port}/v1/ws", ssl=pair.trust()) as client:
            await client.send(b"\xff\xfe", text=True)
            await client.wait_closed()
        assert client.close_code == 1007


@on_uvloop
async def test_a_client_that_hangs_up_in_the_middle_leaves_nothing(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    requests = (
        b"GET /health HT",
        b"POST /v1/transcribe HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nabc",
        b"GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    )
    async with serving_tls(pair, deadlines=Deadlines(linger=0.5)) as running:
        for request in requests:
            reader, writer = await open_line(running, pair.trust())
            writer.write(request)
            await writer.drain()
            if b"Upgrade" in request:
                assert b"101" in await reader.readline()
            writer.close()
            await writer.wait_closed()
        state = running.server.server_state
        await wait_until(lambda: not state.connections and not state.tasks)
        async with httpx.AsyncClient(verify=pair.trust()) as client:
            assert (await client.get(f"https://127.0.0.1:{running.port}/health")).status_code == 200
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


@on_uvloop
async def test_a_client_that_hangs_up_while_its_answer_is_made_is_noticed(pair: Pair) -> None:
    fakes = Fakes()
    certificate = Certificate(pair.chain, pair.key)
    deadlines = Deadlines(probe=0.05, linger=0.5)
    async with (
        serving(fakes.context(), certificate=certificate, deadlines=deadlines) as running,
        fakes.pool.full_of_uploads(),
    ):
        for pipelined in (b"", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"):
            _, writer = await open_line(running, pair.trust())
            writer.write(
                b"POST /v1/transcribe HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\nabcd" + pipelined
            )
            state = running.server.server_state
            await wait_until(lambda: state.tasks)  # noqa: B023
            writer.transport.abort()
            await wait_until(lambda: not state.connections and not state.tasks)  # noqa: B023


@on_uvloop
async def test_an_early_refusal_is_read_by_a_client_that_still_sends(pair: Pair) -> None:
    async with serving_tls(pair, deadlines=Deadlines(linger=0.5)) as running:
        reader, writer = await open_line(running, pair.trust())
        writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n bad\x00: x\r\n\r\n" + b"x" * 100_000)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400")
        writer.close()


@on_uvloop
async def test_a_client_that_asks_for_the_end_hears_it_behind_its_answer(pair: Pair) -> None:
    async with serving_tls(pair, deadlines=Deadlines(linger=60.0)) as running:
        for body in (b"", b"\0" * 1000):
            reader, writer = await open_line(running, pair.trust())
            writer.write(
                b"POST /v1/transcribe HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            async with asyncio.timeout(30):
                assert b"HTTP/1.1 " in await reader.read()
            writer.close()


@on_uvloop
async def test_silence_and_broken_handshakes_are_hung_up_on(pair: Pair) -> None:
    async with serving_tls(pair, deadlines=Deadlines(head=0.3)) as running:
        for first in (b"", b"\x16", b"\x16\x03\x01\x00\x05hello", b"\x16" * 1000):
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(first)
            with suppress(ConnectionResetError):
                assert b"HTTP/" not in await reader.read()
            writer.close()
            await writer.wait_closed()
        state = running.server.server_state
        await wait_until(lambda: not state.connections and not state.tasks)


@on_uvloop
async def test_a_renewed_certificate_is_shown_to_newcomers_and_sessions_go_on(
    pair: Pair, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gigastt")
    async with serving_tls(pair) as running, connect(f"wss://127.0.0.1:{running.port}/v1/ws", ssl=pair.trust()) as old:
        before = await certificate_seen(running, pair.trust())
        renewed = make_certificate(tmp_path)
        assert renewed == pair
        reload_certificate(running.server)
        after = await certificate_seen(running, renewed.trust())
        assert before != after
        await old.send(b"\0" * 320)
        assert json.loads(await old.recv()) == {"bytes": 320}

        good = pair.key.read_bytes()
        pair.key.write_text("no key")
        reload_certificate(running.server)
        assert await certificate_seen(running, renewed.trust()) == after
        make_certificate(tmp_path, "other").key.replace(pair.key)
        reload_certificate(running.server)
        assert await certificate_seen(running, renewed.trust()) == after
        pair.key.write_bytes(good)
    told = [fields_of(record) for record in caplog.records]
    events = [str(fields["event"]) for fields in told if "certificate" in str(fields["event"])]
    assert events == ["certificate_reloaded", "certificate_not_reloaded", "certificate_not_reloaded"]


@pytest.mark.parametrize(
    ("spoil", "flag"),
    [
        (lambda pair: pair.chain.unlink(), "--tls-cert"),
        (lambda pair: pair.key.unlink(), "--tls-key"),
        (lambda pair: pair.chain.write_text("no certificate"), "--tls-cert"),
        (lambda pair: pair.key.write_text("no key"), "--tls-key"),
        (lambda pair: pair.chain.write_bytes(pair.key.read_bytes()), "--tls-cert"),
        (lambda pair: pair.key.write_bytes(make_certificate(pair.key.parent, "other").key.read_bytes()), "--tls-key"),
    ],
)
def test_a_wrong_file_is_named_with_its_flag(pair: Pair, spoil: Callable[[Pair], object], flag: str) -> None:
    spoil(pair)
    with pytest.raises(ConfigError, match=f"^{flag} "):
        Certificate(pair.chain, pair.key)


def test_half_of_tls_is_a_mistake(pair: Pair) -> None:
    with pytest.raises(ConfigError, match=r"^--tls-key is missing"):
        check_settings(Settings(tls_cert=pair.chain))
    with pytest.raises(ConfigError, match=r"^--tls-cert is missing"):
        check_settings(Settings(tls_key=pair.key))
