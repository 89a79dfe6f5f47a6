"""Where utterances end, as clients of the original server's newer versions choose it; the words are those of a file."""

from __future__ import annotations

import pytest

from tests.clips import load_clips
from tests.live_client import LiveClient, live_client
from tests.server import ServerProcess

CLIP = load_clips()[0]  # two sentences with a pause between them


async def speak(server: ServerProcess, **configuration: object) -> LiveClient:
    async with live_client(server.websocket_url) as client:
        await client.configure(**{"sample_rate": 16_000, "protocol_version": "1.2"} | configuration)
        await client.stream(CLIP.pcm)
        await client.send(type="flush")
        await client.stream(CLIP.pcm)
        await client.stop()
    return client


@pytest.mark.parametrize("fields", [{"min_silence_ms": 600}, {"endpoint_mode": "assistant"}, {"protocol_version": 1.1}])
async def test_a_pause_ends_an_utterance(server: ServerProcess, fields: dict[str, object]) -> None:
    client = await speak(server, **fields)
    assert client.text == f"{CLIP.reference} {CLIP.reference}"
    assert len(client.finals) == 4
    assert client.of("error") == []
    assert all(final["speech_final"] for final in client.finals)


async def test_in_manual_mode_the_client_ends_utterances(server: ServerProcess) -> None:
    client = await speak(server, endpoint_mode="manual")
    finals = client.of("final")
    assert [(final["text"], final["endpoint_reason"], final["seq"]) for final in finals] == [
        (CLIP.reference, "flush", 0),
        (CLIP.reference, "stop", 1),
    ]
    partials = [partial for partial in client.of("partial") if partial["seq"] == 0]
    assert partials[-1]["text"].startswith("Расскажи рецепт каши. Включи")
    assert partials[-1]["stable"] >= 3


async def test_an_unknown_mode_is_told_and_changes_nothing(server: ServerProcess) -> None:
    client = await speak(server, endpoint_mode="sometimes")
    assert [error["code"] for error in client.of("error")] == ["invalid_endpoint_mode"]
    assert len(client.finals) == 4
