"""Limits of a key: what it may do at once, a minute, a day, and what is told of its use."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gigastt.cli.main import run_command
from gigastt.errors import ConfigError, QuotaExceeded
from gigastt.gateway.access.key_file import ApiKey, KeyLimits, add_key, read_keys, revoke_key
from gigastt.gateway.access.key_usage import KeyUsage
from gigastt.gateway.app import NATIVE
from gigastt.gateway.context import AppContext
from gigastt.gateway.metrics import MOST_NAMES
from gigastt.log import fields_of
from gigastt.reloading import reload_keys
from tests.fakes.gateway import http_client, serving
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.pool import FakePool, Fakes
from tests.fakes.scripted import speech
from tests.waiting import wait_until


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def context_of(file: Path, clock: Callable[[], float] = lambda: 5.0) -> AppContext:
    return Fakes(clock=clock).context(api_keys_file=file)


def series(context: AppContext, name: str, key: str) -> float | None:
    value: float | None = context.metrics.registry.get_sample_value(f"gigastt_key_{name}", {"key": key})
    return value


def test_limits_are_added_listed_and_read(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["keys", "add", str(file), "alice", "--sessions", "4", "--audio-hours-per-day", "1.5"]) == 0
    assert run_command(["keys", "add", str(file), "bob", "--requests-per-minute", "60"]) == 0
    assert [key.limits for key in read_keys(file)] == [
        KeyLimits(sessions=4, audio_hours_per_day=1.5),
        KeyLimits(requests_per_minute=60),
    ]
    capsys.readouterr()
    run_command(["keys", "list", str(file)])
    listed = capsys.readouterr().out
    assert listed == "alice sessions=4 audio-hours-per-day=1.5\nbob requests-per-minute=60\n"
    assert run_command(["keys", "add", str(file), "carol", "--sessions", "0"]) == 2


@pytest.mark.parametrize(
    "words",
    ["sessions", "sessions=0", "sessions=-1", "sessions=1 sessions=2", "seconds=4", "audio-hours-per-day=0", "x"],
)
def test_wrong_limits_name_the_line(file: Path, words: str) -> None:
    file.write_text(f"alice:{'0' * 64} {words}\n")
    with pytest.raises(ConfigError, match="line 1: after NAME:SHA256"):
        read_keys(file)


@pytest.mark.slow
async def test_live_sessions_at_once(file: Path) -> None:
    key, other = add_key(file, "alice", KeyLimits(sessions=2)), add_key(file, "bob")
    context = context_of(file)
    async with serving(context) as running:
        url = f"{running.ws}/v1/ws"
        async with AsyncExitStack() as stack:
            for _ in range(2):
                await stack.enter_async_context(connect(url, additional_headers=bearer(key)))
            assert series(context, "sessions", "alice") == 2
            with pytest.raises(InvalidStatus) as caught:
                await connect(url, additional_headers=bearer(key))
            refusal = caught.value.response
            assert (refusal.status_code, json.loads(refusal.body)["code"]) == (429, "quota_exceeded")
            assert int(refusal.headers["retry-after"]) >= 1
            async with connect(url, additional_headers=bearer(other)):
                pass
            async with http_client(context) as client:
                assert (await client.get("/v1/models", headers=bearer(key))).status_code == 200
        await wait_until(lambda: series(context, "sessions", "alice") == 0)
        async with connect(url, additional_headers=bearer(key)):
            pass


@pytest.mark.slow
async def test_requests_a_minute_with_a_key_and_its_tokens(file: Path) -> None:
    key, now = add_key(file, "alice", KeyLimits(requests_per_minute=3)), [1000.0]
    context = context_of(file, lambda: now[0])
    async with http_client(context) as client:
        token = (await client.post("/v1/tokens", headers=bearer(key))).json()["token"]
        statuses = [(await client.get("/v1/models", headers=bearer(one))).status_code for one in (key, token, key)]
        assert statuses == [200, 200, 429]
        refused = await client.get("/v1/models", headers=bearer(token) | {"origin": "http://localhost:1"})
        assert (refused.json()["code"], refused.headers["retry-after"]) == ("quota_exceeded", "20")
        assert refused.headers["access-control-allow-origin"] == "http://localhost:1"
        assert (await client.get("/health")).status_code == 200
        now[0] += 20.0
        assert (await client.get("/v1/models", headers=bearer(token))).status_code == 200
    assert series(context, "requests_total", "alice") == 4


async def test_hours_of_audio_a_day_in_files(file: Path) -> None:
    key = add_key(file, "alice", KeyLimits(audio_hours_per_day=0.001))  # 3.6 s; a file of the fake decoder has less
    context = context_of(file)
    assert context.api_keys is not None
    [usage] = context.api_keys.usages
    async with http_client(context) as client:

        async def send() -> tuple[int, Any]:
            answer = await client.post("/v1/transcribe", content=b"x" * 100, headers=bearer(key))
            return answer.status_code, answer.json().get("code")

        assert await send() == (200, None)
        assert usage.audio_seconds > 0
        usage.hear(3.6 - usage.audio_seconds - 0.001)
        assert await send() == (429, "quota_exceeded")  # it is longer than what is left
        usage.hear(0.001)
        before = usage.audio_seconds
        assert await send() == (429, "quota_exceeded")
        assert usage.audio_seconds == before


async def read_to_the_end(socket: ClientConnection, told: list[dict[str, Any]]) -> None:
    while True:
        told.append(json.loads(await socket.recv()))


@pytest.mark.slow
async def test_hours_of_audio_a_day_live(file: Path) -> None:
    key = add_key(file, "alice", KeyLimits(audio_hours_per_day=0.0005))  # 1.8 s
    context = Fakes(pool=cast("FakePool", MemoryPool(automatic=True))).context(api_keys_file=file)
    told: list[dict[str, Any]] = []
    async with serving(context, native=NATIVE) as running:
        async with connect(f"{running.ws}/v1/ws", additional_headers=bearer(key)) as socket:
            await socket.send('{"type": "configure", "sample_rate": 16000}')
            for _ in range(4):
                await socket.send(speech([1] * 50).tobytes()[:16_000].ljust(16_000, b"\0"))
            with pytest.raises(ConnectionClosed):
                await read_to_the_end(socket, told)
        assert [one["code"] for one in told if one["type"] == "error"] == ["quota_exceeded"]
        assert told[-1]["type"] == "final"
        assert socket.close_code == 1008
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"{running.ws}/v1/ws", additional_headers=bearer(key))
        assert caught.value.response.status_code == 429
    assert series(context, "audio_seconds_total", "alice") == pytest.approx(2.0)


def test_the_audio_of_a_day_ends_at_midnight() -> None:
    now = [10 * 86_400 - 60.0]
    usage = KeyUsage(ApiKey(b"", "alice", KeyLimits(audio_hours_per_day=1)), lambda: now[0])
    assert usage.hear(3000)
    assert not usage.hear(600)
    with pytest.raises(QuotaExceeded) as caught:
        usage.expect_audio(0)
    assert caught.value.retry_after_ms == 60_000
    now[0] += 60
    usage.expect_audio(3600)
    assert usage.audio_seconds == 3600


def change_limits(file: Path) -> None:
    file.write_text(file.read_text().replace("requests-per-minute=1", "requests-per-minute=100"))


async def test_other_limits_and_keys_are_read_while_the_server_runs(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gigastt")
    key = add_key(file, "alice", KeyLimits(requests_per_minute=1))
    add_key(file, "bob")
    context = context_of(file)
    async with http_client(context) as client:
        assert (await client.get("/v1/models", headers=bearer(key))).status_code == 200
        change_limits(file)
        revoke_key(file, "bob")
        reload_keys(context)
        assert (await client.get("/v1/models", headers=bearer(key))).status_code == 200
    [told] = [told for told in map(fields_of, caplog.records) if told["event"] == "keys_reloaded"]
    assert (told["removed"], told["limited"]) == (["bob"], ["alice"])
    assert series(context, "requests_total", "alice") == 2
    assert series(context, "requests_total", "bob") is None


def test_series_are_bounded_and_there_from_the_start(file: Path) -> None:
    file.write_text("".join(f"k{number}:{number:064x}\n" for number in range(300)) + "a-plain-key\n")
    text = context_of(file).metrics.render().decode()
    assert text.count("gigastt_key_requests_total{") == MOST_NAMES + 1
    assert 'gigastt_key_audio_seconds_total{key="k0"} 0.0' in text


async def test_a_session_that_ends_early_is_not_counted_for_ever(file: Path) -> None:
    usage = KeyUsage(ApiKey(b"", "alice"))

    async def live() -> None:
        with usage.session():
            await asyncio.sleep(3600)

    task = asyncio.create_task(live())
    await wait_until(lambda: usage.sessions == 1)
    task.cancel()
    await wait_until(lambda: usage.sessions == 0)
