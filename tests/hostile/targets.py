"""Targets of the fuzzers: how each protocol is served, what its clients send, and one that means well."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from websockets.asyncio.client import connect
from wyoming.audio import AudioStart, AudioStop
from wyoming.client import AsyncTcpClient

from gigastt.gateway.api.wyoming_turns import listen_for_wyoming
from gigastt.gateway.app import NATIVE, create_audiosocket, create_vosk_app
from gigastt.gateway.context import AppContext
from gigastt.gateway.server.deadlines import Deadlines
from tests.fakes.gateway import Running, serving
from tests.fakes.scripted import speech
from tests.gateway.api.calls import follow
from tests.gateway.api.test_wyoming import AUDIO, chunk, read, say

ODD_TEXTS = (
    b"{}",
    b"[" * 2_000,
    b"\xff\xfe\xfd",
    "слово".encode()[:3],
    b"\xef\xbb\xbf{}",
    b"",
    b'{"type":[]}',
    b'{"type":"\\ud800"}',
)
_SOURCES = ("null", "[]", '{"format":"x"}', '{"format":{"type":"audio/pcmu"}}', '{"turn_detection":null}')
_DEEPGRAM_QUERY = "encoding=linear16&sample_rate=16000&punctuate=true&interim_results=true&vad_events=true"

Serve = Callable[[AppContext, Deadlines], AbstractAsyncContextManager[Running]]


@dataclass(frozen=True)
class Target:
    """A protocol.

    path: of its WebSocket; empty where it has none.
    texts: what its clients send as text.
    speak: be a client that means well, and return what it hears of `SAID`.
    first: draws the text that most clients begin with.
    heads: what binary messages may begin with.
    """

    path: str
    texts: tuple[bytes, ...]
    speak: Callable[[int], Awaitable[str]]
    serve: Serve = lambda context, deadlines: serving(context, native=NATIVE, deadlines=deadlines)
    first: Callable[[random.Random], bytes] | None = None
    heads: tuple[bytes, ...] = (b"",)


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


async def _speak_jambonz(port: int) -> str:
    def text_of(message: dict[str, Any]) -> str:
        return str(message["alternatives"][0]["transcript"]) if message.get("is_final") else ""

    return await _speak("/v1/jambonz", _JAMBONZ_START, '{"type":"stop"}', text_of, port)


async def _speak_jitsi(port: int) -> str:
    texts = []
    async with connect(f"ws://127.0.0.1:{port}/v1/jitsi/ws/m", compression=None) as socket:
        await socket.send(_JITSI_HEADS[0] + speech(SAID).astype("<i2").tobytes())
        await socket.send(b"\0")
        async for message in socket:
            fields = json.loads(message)
            texts += [fields["text"]] if fields["type"] == "final" else []
    return " ".join(texts)


async def _follow(port: int, call: str) -> str:
    """Follow a call and return its words."""
    return " ".join(
        [event["text"] async for event in follow(f"http://127.0.0.1:{port}", call) if event["type"] == "final"]
    ).strip()


async def _speak_asterisk(port: int) -> str:
    call = uuid.uuid4().hex
    following = asyncio.create_task(_follow(port, call))
    async with connect(f"ws://127.0.0.1:{port}/v1/asterisk/ws?session={call}", compression=None) as socket:
        await socket.send(_media_start(random.Random()).decode())
        await socket.send(speech(SAID).astype("<i2").tobytes())
    return await following


async def _speak_audiosocket(port: int) -> str:
    """Ring, and hear the server hang up when all was taken; the words go elsewhere."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    samples = speech(SAID).tobytes()
    writer.write(packet(0x01, uuid.uuid4().bytes) + packet(0x12, samples) + packet(0x00))
    answer = await reader.read()
    writer.close()
    return HEARD if answer == packet(0x00) else repr(answer)


def packet(kind: int, payload: bytes = b"") -> bytes:
    """Return a packet of AudioSocket."""
    return bytes([kind]) + len(payload).to_bytes(2) + payload


def _media_start(rng: random.Random) -> bytes:
    call = f"{rng.randrange(2**60):x}"
    return f"MEDIA_START connection_id:a channel_id:{call} format:slin16 optimal_frame_size:640 ptime:20".encode()


_JAMBONZ_START = '{"type":"start","language":"ru-RU","encoding":"LINEAR16","sampleRateHz":16000,"interimResults":true}'
_JITSI_HEADS = tuple(f"{name}|ru".encode().ljust(60, b"\0") for name in ("anna", "boris", "вера"))
_CONFIGURE = '{"type":"configure","sample_rate":16000}'
_speak_native = partial(_speak, "/v1/ws", _CONFIGURE, '{"type":"stop"}', _of_native)
TARGETS = {
    "native": Target(
        "/v1/ws",
        (
            _CONFIGURE.encode(),
            b'{"type":"configure","sample_rate":16000.5,"channels":2}',
            b'{"type":"configure","resume":true,"hotwords":["\\ud800"]}',
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
            b'{"type":"response.create","event_id":"\\ud800"}',
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
    "telephone": Target(
        "/v1/ws?sample_rate=8000&encoding=mulaw&channels=2",
        (b'{"callSid":"a"}', b'{"type":"stop"}', b"payload", _CONFIGURE.encode(), *ODD_TEXTS),
        _speak_native,
    ),
    "asterisk": Target(
        "/v1/asterisk/ws",
        (
            b"MEDIA_START format:ulaw connection_id:x",
            b"DTMF_END digit:5 channel_id:1",
            b"DTMF_END",
            b'{"event":"DTMF_END","digit":5}',
            b'{"event":[]}',
            b"MEDIA_XOFF",
            b" " * 3_000,
            *ODD_TEXTS,
        ),
        _speak_asterisk,
        first=_media_start,
    ),
    "jambonz": Target(
        "/v1/jambonz",
        (
            _JAMBONZ_START.encode(),
            b'{"type":"start","sampleRateHz":[],"encoding":{},"language":7,"options":[]}',
            b'{"type":"stop"}',
            *ODD_TEXTS,
        ),
        _speak_jambonz,
        first=lambda rng: _JAMBONZ_START.encode(),
    ),
    "jitsi": Target(
        "/v1/jitsi/ws/m",
        ODD_TEXTS,
        _speak_jitsi,
        heads=(*_JITSI_HEADS, *_JITSI_HEADS, b"", b"\0", b"|" * 60, b"a" * 60),
    ),
    "audiosocket": Target(
        "",
        (),
        _speak_audiosocket,
        lambda context, deadlines: serving(context, tcp=create_audiosocket(context), deadlines=deadlines),
    ),
    "wyoming": Target(
        "",
        (),
        _speak_wyoming,
        lambda context, deadlines: serving(context, tcp=listen_for_wyoming(context), deadlines=deadlines),
    ),
}
