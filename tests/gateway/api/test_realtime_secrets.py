"""Secrets of Realtime sessions: made with a key, used without one, for sessions and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from tests.fakes.gateway import http_client, serving
from tests.fakes.pool import Fakes

pytestmark = pytest.mark.slow

PATH = "/v1/realtime/client_secrets"
BETA = "/v1/realtime/transcription_sessions"
KEY = {"authorization": "Bearer secret-key-1"}
MANUAL = {"type": "transcription", "audio": {"input": {"format": {"type": "audio/pcmu"}, "turn_detection": None}}}


async def create(body: Any, path: str = PATH) -> tuple[int, dict[str, Any]]:
    async with http_client(Fakes().context()) as client:
        response = await client.post(path, content=body if isinstance(body, bytes) else json.dumps(body))
    return response.status_code, response.json()


async def test_a_secret_comes_with_its_session() -> None:
    status, created = await create({"expires_after": {"anchor": "created_at", "seconds": 60}, "session": MANUAL})
    assert status == 200
    assert created["value"].startswith("ek_")
    assert created["session"]["audio"]["input"]["turn_detection"] is None
    assert created["session"]["object"] == "realtime.transcription_session"


async def test_nothing_need_be_asked_for() -> None:
    assert (await create(b""))[0] == 200
    status, created = await create({"input_audio_format": "g711_ulaw", "client_secret": {"expires_at": {}}}, BETA)
    assert (status, created["input_audio_format"]) == (200, "g711_ulaw")
    assert created["client_secret"]["value"].startswith("ek_")


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (PATH, b"{", None),
        (PATH, [], None),
        (PATH, {"session": {"audio": {"input": {"format": "mp3"}}}}, "session.audio.input.format"),
        (PATH, {"expires_after": {"seconds": 5}}, "expires_after.seconds"),
        (PATH, {"expires_after": {"seconds": "600"}}, "expires_after.seconds"),
        (BETA, {"client_secret": {"expires_at": {"seconds": 7201}}}, "client_secret.expires_at.seconds"),
    ],
)
async def test_a_wrong_request_is_refused_by_the_name_of_its_field(path: str, body: Any, param: str | None) -> None:
    status, answer = await create(body, path)
    assert (status, answer["error"]["param"]) == (400, param)


async def test_a_large_body_is_refused() -> None:
    assert (await create(b" " * 100_000))[0] == 413


async def test_a_secret_opens_realtime_sessions_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("secret-key-1\n")
    context = Fakes().context(api_keys_file=tmp_path / "keys")
    async with http_client(context) as client:
        assert (await client.post(PATH)).status_code == 401
        created = (await client.post(PATH, headers=KEY, json={"session": MANUAL})).json()
        secret = {"authorization": f"Bearer {created['value']}"}
        assert (await client.post(PATH, headers=secret)).status_code == 401
        assert (await client.get("/v1/models", headers=secret)).status_code == 401
    async with serving(context) as running:
        async with connect(f"{running.ws}/v1/realtime", additional_headers=secret) as socket:
            event = json.loads(await socket.recv())
        assert event["session"]["audio"] == created["session"]["audio"]
        offered = [Subprotocol("realtime"), Subprotocol(f"openai-insecure-api-key.{created['value']}")]
        async with connect(f"{running.ws}/v1/realtime", subprotocols=offered) as socket:
            assert socket.subprotocol == "realtime"
        for path, headers in (("/v1/ws", secret), ("/v1/realtime", {"authorization": f"Bearer {created['value']}x"})):
            with pytest.raises(InvalidStatus) as caught:
                await connect(f"{running.ws}{path}", additional_headers=headers)
            assert caught.value.response.status_code == 401
