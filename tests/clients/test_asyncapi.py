"""docs/asyncapi.yaml says what crosses the sockets: compared with the program, and with what a server sends."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

from gigastt.audio.pcm import ENCODINGS
from gigastt.audio.resample import SAMPLE_RATE_RANGE
from gigastt.gateway.api.client_messages import MESSAGE_TYPES
from gigastt.gateway.api.configure import FIELDS, PROTOCOL_VERSION, VERSIONS
from gigastt.gateway.api.gathering import EndpointMode
from gigastt.transcript import ENDPOINT_SILENCE_MS, EndpointReason
from tests.asyncapi import DOCUMENT, check_message, messages_of
from tests.clips import load_clips
from tests.live_client import live_client
from tests.server import ServerProcess

GATEWAY = Path(__file__).resolve().parent.parent.parent / "gigastt" / "gateway" / "api"


def test_every_message_and_field_of_a_client_is_described() -> None:
    described = messages_of("native")
    assert set(MESSAGE_TYPES) <= set(described)
    fields: dict[str, Any] = described["configure"]["payload"]["properties"]
    assert set(fields) == set(FIELDS)
    assert fields["encoding"]["enum"] == list(ENCODINGS)
    assert (fields["sample_rate"]["minimum"], fields["sample_rate"]["maximum"]) == SAMPLE_RATE_RANGE
    silence = fields["endpoint_silence_ms"]
    assert (silence["minimum"], silence["maximum"]) == ENDPOINT_SILENCE_MS
    assert fields["endpoint_mode"]["enum"] == list(get_args(EndpointMode))
    assert fields["protocol_version"]["enum"] == list(VERSIONS)
    assert described["final"]["payload"]["properties"]["endpoint_reason"]["enum"] == list(get_args(EndpointReason))
    assert DOCUMENT["info"]["version"] == f"{PROTOCOL_VERSION}.0"


def test_every_event_of_the_realtime_dialect_is_described() -> None:
    source = "".join((GATEWAY / name).read_text(encoding="utf-8") for name in ("realtime.py", "realtime_items.py"))
    described = messages_of("realtime")
    heard = set(re.findall(r'case "([a-z_.]+)"|\| "([a-z_.]+)":', source))
    assert {kind for pair in heard for kind in pair if kind} <= set(described)
    told = {kind.rpartition(".")[2] for kind in described}
    assert set(re.findall(r'"type": f"\{_[A-Z]+\}\.([a-z_]+)"', source)) <= told


async def test_everything_that_a_session_sends_is_as_described(server: ServerProcess) -> None:
    async with live_client(server.websocket_url) as client:
        await client.configure(sample_rate=16_000, channels=2, typo=1)
        await client.send(type="ping")
        stereo = b"".join(2 * pair for pair in _samples(load_clips()[0].pcm))
        await client.stream(stereo)
        await client.send(type="flush")
        await client.stop()
    assert {message["type"] for message in client.messages} == {"ready", "error", "pong", "partial", "final"}
    for message in client.messages:
        check_message("native", message)


def _samples(pcm: bytes) -> list[bytes]:
    return [pcm[begin : begin + 2] for begin in range(0, len(pcm), 2)]
