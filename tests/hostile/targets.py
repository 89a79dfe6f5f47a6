"""Targets of the fuzzers: how each protocol is served, what its clients send, and one that means well."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from websockets.asyncio.client import connect
from wyoming.audio import AudioStart, AudioStop
from wyoming.client import AsyncTcpClient

from gigastt.gateway.api.wyoming_turns import listen_for_wyoming
from gigastt.gateway.app import NATIVE, create_vosk_app
from gigastt.gateway.context import AppContext
from gigastt.gateway.server.deadlines import Deadlines
from tests.fakes.gateway import Running, serving
from tests.fakes.scripted import speech
from tests.gateway.api.test_wyoming import AUDIO, chunk, read, say

ODD_TEXTS = (b"{}", b"[" * 2_000, b"\xff\xfe\xfd", "слово".encode()[:3], b"\xef\xbb\xbf{}", b"", b'{"type":[]}')
_SOURCES = ("null", "[]", '{"format":"x"}', '{"format":{"type":"audio/pcmu"}}', '{"turn_detection":null}')
_DEEPGRAM_QUERY = "encoding=linear16&sample_rate=16000&punctuate=true&interim_results=true&vad_events=true"

Serve = Callable[[AppContext, Deadlines], AbstractAsyncContextManager[Running]]


@dataclass(frozen=True)
class Target:
    """A protocol.

    path: of its WebSocket; empty where it has none.
    texts: what its clients send as text.
    speak: be a client that means well, and return what it hears of `SAID`.
    """

    path: str
    texts: tuple[bytes, ...]
    speak: Callable[[int], Awaitable[str]]
    serve: Serve = lambda context, deadlines: serving(context, native=NATIVE, deadlines=deadlines)


SAID, HEARD = (1, 2), "w1 w2"


async def _speak(path: str, first: str, last: str, text_of: Callable[[dict[str, Any]], str], port: int) -> str:
    async with connect(f"ws://127.0.0.1:{port}{path}", compression=None) as socket:
        if first:
            await socket.send(first)
        await socket.send(speech(SAID).astype("<i2").tobytes())
        await socket.send(last)
        return " ".join([text async for message in socket if (text := text_of(json.loads(message)))])


def _of_native(message: dict[str, Any]) -> str:
    return str(message["text"]) if message["type"] == "final" else ""


def _of_deepgram(message: dict[str, Any]) -> str:
    return str(message["channel"]["alternatives"][0]["transcript"]) if message.get("is_final") else ""


async def _speak_wyoming(port: int) -> str:
    async with AsyncTcpClient("127.0.0.1", port) as client:
        await say(client, AudioStart(**AUDIO), chunk(*SAID), AudioStop())
        events = await read(client, "transcript")
    return str(events[-1].data["text"]) if events else ""


_CONFIGURE = '{"type":"configure","sample_rate":16000}'
_speak_native = partial(_speak, "/v1/ws", _CONFIGURE, '{"type":"stop"}', _of_native)
TARGETS = {
    "native": Target(
        "/v1/ws",
        (
            _CONFIGURE.encode(),
            b'{"type":"configure","sample_rate":16000.5,"channels":2}',
            b'{"type":"stop"}',
            b'{"type":"flush"}',
            *ODD_TEXTS,
        ),
        _speak_native,
    ),
    "realtime": Target(
        "/v1/realtime",
        (
            *(
                b'{"type":"input_audio_buffer.append","audio":"%s"}' % audio
                for audio in (b"", b"AAAA" * 400, b"A", b"///+")
            ),
            b'{"type":"input_audio_buffer.append","audio":7}',
            b'{"type":"input_audio_buffer.commit","event_id":"e"}',
            b'{"type":"input_audio_buffer.clear","event_id":[]}',
            b'{"type":"session.update"}',
            *(f'{{"type":"session.update","session":{{"audio":{{"input":{each}}}}}}}'.encode() for each in _SOURCES),
            b'{"type":"transcription_session.update","session":{"input_audio_format":"g711_alaw","include":7}}',
            b'{"type":"response.create"}',
            *ODD_TEXTS,
        ),
        _speak_native,
    ),
    "deepgram": Target(
        f"/v1/listen?{_DEEPGRAM_QUERY}",
        (
            *(b'{"type":"%s"}' % kind for kind in (b"KeepAlive", b"Finalize", b"Finalize", b"CloseStream", b"Unknown")),
            *ODD_TEXTS,
        ),
        partial(_speak, f"/v1/listen?{_DEEPGRAM_QUERY}", "", '{"type":"CloseStream"}', _of_deepgram),
    ),
    "vosk": Target(
        "/",
        (
            *(b'{"config":{"sample_rate":%s}}' % rate for rate in (b"16000", b'"8000.0"', b"1e400", b"[]", b"-1")),
            b'{"config":{"words":0,"max_alternatives":3,"phrase_list":[]}}',
            b'{"config":[]}',
            b'{"reset":1}',
            b'{"reset":1}',
            b'{"eof" : 1}',
            *ODD_TEXTS,
        ),
        partial(_speak, "/", '{"config":{"sample_rate":16000}}', '{"eof":1}', lambda told: str(told.get("text", ""))),
        lambda context, deadlines: serving(context, create_vosk_app, deadlines=deadlines),
    ),
    "wyoming": Target(
        "",
        (),
        _speak_wyoming,
        lambda context, deadlines: serving(context, tcp=listen_for_wyoming(context), deadlines=deadlines),
    ),
}
