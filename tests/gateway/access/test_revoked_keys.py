"""Keys that are read again while the server runs: who may stay, who must go, and what the log says."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from gigastt.gateway.access.key_file import add_key, revoke_key
from gigastt.gateway.app import NATIVE
from gigastt.gateway.context import AppContext
from gigastt.log import fields_of
from gigastt.reloading import reload_keys, reload_limits
from tests.fakes.gateway import echo, http_client, serving
from tests.fakes.pool import Fakes


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    told = [cast("dict[str, Any]", fields_of(record)) for record in caplog.records]
    return [fields for fields in told if fields["event"] == event]


def add_plain(file: Path) -> None:
    file.write_text(file.read_text() + "a-plain-key\n")


def spoil(file: Path) -> None:
    file.write_text("no key at all\n")


async def read_to_the_end(client: ClientConnection) -> None:
    while True:
        await client.recv()


async def status(context: AppContext, key: str) -> int:
    async with http_client(context) as client:
        response: httpx.Response = await client.get("/v1/models", headers=bearer(key))
        return response.status_code


async def test_the_log_names_the_key_of_a_request(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gigastt")
    key = add_key(file, "alice")
    add_plain(file)
    context = Fakes().context(api_keys_file=file)
    assert await status(context, key) == 200
    assert await status(context, "a-plain-key") == 200
    assert await status(context, "a-wrong-key") == 401
    named, plain, refused = logged(caplog, "request")
    assert named["key"] == "alice"
    assert "key" not in plain
    assert "key" not in refused
    assert key not in str(caplog.records)


async def test_keys_are_read_again_and_the_log_has_who_came_and_went(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gigastt")
    alice = add_key(file, "alice")
    context = Fakes().context(api_keys_file=file)
    reload_keys(context)
    assert logged(caplog, "keys_reloaded") == []
    bob = add_key(file, "bob")
    revoke_key(file, "alice")
    reload_keys(context)
    assert [(told["added"], told["removed"]) for told in logged(caplog, "keys_reloaded")] == [(["bob"], ["alice"])]
    assert (await status(context, alice), await status(context, bob)) == (401, 200)


async def test_a_wrong_file_keeps_the_keys_and_the_log_says_why(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    alice = add_key(file, "alice")
    context = Fakes().context(api_keys_file=file)
    spoil(file)
    reload_keys(context)
    [told] = logged(caplog, "keys_not_reloaded")
    assert "--api-keys-file" in told["reason"]
    assert "line 1" in told["reason"]
    assert await status(context, alice) == 200


@pytest.mark.slow
async def test_a_signal_has_the_keys_read_again(file: Path) -> None:
    alice = add_key(file, "alice")
    context = Fakes().context(api_keys_file=file)
    add_key(file, "bob")
    revoke_key(file, "alice")
    async with serving(context) as running:
        reload_limits(context, running.server, lambda: context.settings)
    assert await status(context, alice) == 401


@pytest.mark.slow
@pytest.mark.parametrize("native", [echo, NATIVE], ids=["echo", "native"])
async def test_sessions_of_a_revoked_key_are_closed_and_no_others(file: Path, native: Any) -> None:
    alice, bob = add_key(file, "alice"), add_key(file, "bob")
    context = Fakes().context(api_keys_file=file)
    async with (
        serving(context, native=native) as running,
        connect(running.ws + "/v1/ws", additional_headers=bearer(alice)) as gone,
        connect(running.ws + "/v1/ws", additional_headers=bearer(bob)) as stays,
    ):
        revoke_key(file, "alice")
        reload_keys(context)
        with pytest.raises(ConnectionClosed):
            await read_to_the_end(gone)
        assert (gone.close_code, gone.close_reason) == (1008, "unauthorized")
        reload_keys(context)
        await stays.send(b"x" * 320 if native is echo else '{"type": "flush"}')
        await stays.recv()
        assert stays.close_code is None
