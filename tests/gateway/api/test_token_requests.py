"""`POST /v1/tokens`: made with a key, accepted where a key is, for as long and for as much as was asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from gigastt.gateway.access.key_file import add_key, revoke_key
from gigastt.gateway.app import NATIVE
from gigastt.gateway.context import AppContext
from gigastt.reloading import reload_keys
from tests.fakes.gateway import http_client, serving
from tests.fakes.pool import Fakes

pytestmark = pytest.mark.slow

PATH = "/v1/tokens"


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def create(context: AppContext, body: dict[str, Any], key: str = "none") -> dict[str, Any]:
    async with http_client(context) as client:
        answer: dict[str, Any] = (await client.post(PATH, headers=bearer(key), json=body)).json()
    return answer


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"seconds": 9}, "seconds"),
        ({"seconds": 86_401}, "seconds"),
        ({"seconds": True}, "seconds"),
        ({"session": 5}, "session"),
        ({"session": "../x"}, "session"),
    ],
)
async def test_a_wrong_request_is_refused(body: dict[str, Any], param: str) -> None:
    async with http_client(Fakes().context()) as client:
        answer = await client.post(PATH, json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")
    assert param in answer.json()["error"]


async def test_a_token_is_taken_where_its_key_is_but_makes_no_tokens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gigastt")
    key = add_key(tmp_path / "keys", "alice")
    context = Fakes().context(api_keys_file=tmp_path / "keys")
    token = (await create(context, {"seconds": 60}, key))["token"]
    async with http_client(context) as client:
        assert (await client.post(PATH)).status_code == 401
        assert (await client.get("/v1/models", headers=bearer(token))).status_code == 200
        assert (await client.get("/v1/models", headers=bearer(token + "A"))).status_code == 401
        for maker in (PATH, "/v1/realtime/client_secrets", "/v1/realtime/transcription_sessions"):
            assert (await client.post(maker, headers=bearer(token))).status_code == 401
    assert token not in str(caplog.records)
    async with serving(context) as running:
        for path in ("/v1/ws", "/v1/realtime", "/v1/listen"):
            async with connect(running.ws + path, additional_headers=bearer(token)):
                pass
        offered = [Subprotocol("gigastt.v1"), Subprotocol(f"gigastt.bearer.{token}")]
        async with connect(f"{running.ws}/v1/ws", subprotocols=offered) as socket:
            assert socket.subprotocol == "gigastt.v1"


async def test_a_token_for_one_session_opens_nothing_else(tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys", "alice")
    context = Fakes().context(api_keys_file=tmp_path / "keys")
    token = (await create(context, {"session": "fake"}, key))["token"]
    async with http_client(context) as client:
        for path in ("/v1/models", "/v1/models/fake", "/v1/sessions/other/events", "/v1/sessions/fake", "/metrics"):
            assert (await client.get(path, headers=bearer(token))).status_code == 401
        for path in ("/v1/transcribe", PATH):
            assert (await client.post(path, headers=bearer(token))).status_code == 401
    async with serving(context) as running:
        for path in ("/v1/ws", "/v1/ws?session=fake", "/v1/realtime", "/v1/listen"):
            with pytest.raises(InvalidStatus) as caught:
                await connect(running.ws + path, additional_headers=bearer(token))
            assert caught.value.response.status_code == 401


async def test_sockets_that_a_token_opened_end_with_its_key(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    alice, _ = add_key(file, "alice"), add_key(file, "bob")
    context = Fakes().context(api_keys_file=file)
    token = (await create(context, {}, alice))["token"]
    async with (
        serving(context, native=NATIVE) as running,
        connect(f"{running.ws}/v1/ws", additional_headers=bearer(token)) as socket,
    ):
        revoke_key(file, "alice")
        reload_keys(context)
        with pytest.raises(ConnectionClosed):
            await read_to_the_end(socket)
        assert (socket.close_code, socket.close_reason) == (1008, "unauthorized")


async def read_to_the_end(socket: ClientConnection) -> None:
    while True:
        await socket.recv()
