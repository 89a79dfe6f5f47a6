"""Exchanges of telephone servers, as recorded: what each sends and in which frames, over the legs of a call.

Each coroutine plays a call of two legs (8 kHz, what µ-law has left of them) in frames of so many milliseconds, calls
`midway` when half of it is sent, and returns the text of each leg. Texts that a server sends first are those of
Asterisk 23, jambonz 0.9, mod_audio_fork and Jigasi; Asterisk with Vosk's module sends 3,200 bytes at a time.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, TypeAlias

import numpy as np
import soxr
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.asyncapi import check_message
from tests.gateway.api.calls import follow
from tests.phone_calls import RATE, interleave
from tests.server import ServerProcess
from tests.wave_files import Waveform, encode

Midway: TypeAlias = Callable[[], None]
Exchange: TypeAlias = Callable[[ServerProcess, Sequence[Waveform], int, Midway], Coroutine[Any, Any, list[str]]]

METADATA = {"callSid": "4bd2e0c1", "direction": "inbound", "sampleRate": RATE, "mixType": "stereo"}
MEDIA_START = (
    "MEDIA_START connection_id:gigastt channel:WebSocket/gigastt/0x7f7f0c012480 channel_id:1795768294.3 "
    "format:ulaw optimal_frame_size:160 ptime:20"
)
JAMBONZ_START = {
    "type": "start",
    "language": "ru-RU",
    "format": "raw",
    "encoding": "LINEAR16",
    "interimResults": True,
    "sampleRateHz": RATE,
    "options": {},
}
VOSK_FRAME_BYTES = 3_200


async def freeswitch(server: ServerProcess, legs: Sequence[Waveform], frame_ms: int, midway: Midway) -> list[str]:
    """mod_audio_fork with `stereo`: its metadata, then both legs in one stream; another text in the middle."""
    url = f"{server.websocket_url}?sample_rate={RATE}&encoding=linear16&channels=2"
    async with connect(url, subprotocols=[Subprotocol("audio.drachtio.org")], max_queue=None) as socket:
        assert socket.subprotocol == "audio.drachtio.org"
        await socket.send(json.dumps(METADATA))
        listening = asyncio.create_task(messages_of(socket))
        await play(socket, interleave(legs, "pcm_s16le"), 4 * RATE * frame_ms // 1000, midway)
        await socket.send("a text of the dialplan")
        await socket.send('{"type":"stop"}')
        told = await listening
    assert [message for message in told if message["type"] == "error"] == []
    return [finals(message for message in told if message.get("channel") == channel) for channel in (0, 1)]


async def companded_url(server: ServerProcess, legs: Sequence[Waveform], frame_ms: int, midway: Midway) -> list[str]:
    """A switch that sends both legs as µ-law and says nothing else."""
    url = f"{server.websocket_url}?sample_rate={RATE}&encoding=mulaw&channels=2"
    async with connect(url, max_queue=None) as socket:
        listening = asyncio.create_task(messages_of(socket))
        await play(socket, interleave(legs, "mulaw"), 2 * RATE * frame_ms // 1000, midway)
        await socket.send('{"type":"stop"}')
        told = await listening
    return [finals(message for message in told if message.get("channel") == channel) for channel in (0, 1)]


async def audiosocket(server: ServerProcess, legs: Sequence[Waveform], frame_ms: int, midway: Midway) -> list[str]:
    """AudioSocket: a connection for each leg, in packets that TCP cuts in its own way."""
    [listening] = server.logged("audiosocket_listening")

    async def leg(waveform: Waveform) -> str:
        call = uuid.uuid4()
        following = asyncio.create_task(events_of(server, str(call)))
        _, writer = await asyncio.open_connection(listening["host"], listening["port"])
        stream = packet(0x01, call.bytes)
        for piece in pieces(encode(waveform, "pcm_s16le"), 2 * RATE * frame_ms // 1000):
            stream += packet(0x10, piece)
        stream += packet(0x03, b"5") + packet(0x00)
        for number, piece in enumerate(cut := list(pieces(stream, 1_447))):
            if 2 * number <= len(cut) < 2 * (number + 1):
                midway()
            writer.write(piece)
            await writer.drain()
        told = await following
        writer.close()
        assert "5" in [message.get("digit") for message in told]
        return finals(told)

    return list(await asyncio.gather(*map(leg, legs)))


async def chan_websocket(server: ServerProcess, legs: Sequence[Waveform], frame_ms: int, midway: Midway) -> list[str]:
    """chan_websocket with `c(ulaw)`: a connection for each leg."""

    async def leg(number: int, waveform: Waveform) -> str:
        call = f"{uuid.uuid4()}-{number}"
        following = asyncio.create_task(events_of(server, call))
        url = server.websocket_url.replace("/v1/ws", f"/v1/asterisk/ws?session={call}")
        async with connect(url, subprotocols=[Subprotocol("media")], max_queue=None) as socket:
            await socket.send(MEDIA_START)
            await play(socket, encode(waveform, "mulaw"), RATE * frame_ms // 1000, midway)
        return finals(await following)

    return list(await asyncio.gather(*(leg(number, waveform) for number, waveform in enumerate(legs))))


async def jambonz(server: ServerProcess, legs: Sequence[Waveform], frame_ms: int, midway: Midway) -> list[str]:
    """Custom speech of jambonz: a connection for each leg."""

    async def leg(waveform: Waveform) -> str:
        async with connect(server.websocket_url.replace("/v1/ws", "/v1/jambonz"), max_queue=None) as socket:
            await socket.send(json.dumps(JAMBONZ_START))
            listening = asyncio.create_task(messages_of(socket))
            await play(socket, encode(waveform, "pcm_s16le"), 2 * RATE * frame_ms // 1000, midway)
            await socket.send('{"type":"stop"}')
            told = await listening
        for message in told:
            check_message("jambonz", message)
        return " ".join(message["alternatives"][0]["transcript"] for message in told if message["is_final"])

    return list(await asyncio.gather(*map(leg, legs)))


async def jitsi(server: ServerProcess, legs: Sequence[Waveform], frame_ms: int, midway: Midway) -> list[str]:
    """Jigasi: both speakers on one socket, in turn, at 16 kHz."""
    names = ["anna-7f3a", "Борис-19"]
    heads = [f"{name}|ru-RU".encode().ljust(60, b"\0") for name in names]
    streams = [list(pieces(at_16_khz(leg), 32 * frame_ms)) for leg in legs]
    async with connect(server.websocket_url.replace("/v1/ws", "/v1/jitsi/ws/room-1"), max_queue=None) as socket:
        listening = asyncio.create_task(messages_of(socket))
        for number, both in enumerate(zip(*streams, strict=True)):
            if number == len(streams[0]) // 2:
                midway()
            for head, piece in zip(heads, both, strict=True):
                await socket.send(head + piece)
        await socket.send(b"\0")
        told = await listening
    for message in told:
        check_message("jitsi", message)
    return [finals(message for message in told if message["participant_id"] == name) for name in names]


async def vosk_module(server: ServerProcess, legs: Sequence[Waveform], frame_ms: int, midway: Midway) -> list[str]:
    """Asterisk's module for Vosk: 8 kHz without a configuration, always 3,200 bytes; each frame waits for its reply."""
    [listening] = server.logged("vosk_listening")
    assert frame_ms == 1000 * VOSK_FRAME_BYTES // (2 * RATE)

    async def leg(waveform: Waveform) -> str:
        texts: list[str] = []
        async with connect(f"ws://{listening['host']}:{listening['port']}") as socket:
            sent: list[str | bytes] = [*pieces(encode(waveform, "pcm_s16le"), VOSK_FRAME_BYTES), '{"eof" : 1}']
            for message in sent:
                await socket.send(message)
                texts.append(json.loads(await socket.recv()).get("text", ""))
        return " ".join(filter(None, texts))

    return list(await asyncio.gather(*map(leg, legs)))


def at_16_khz(waveform: Waveform) -> bytes:
    """Return a leg as a bridge has it that works at 16 kHz."""
    return encode(soxr.resample(waveform, RATE, 16_000).astype(np.float32), "pcm_s16le")


def packet(kind: int, payload: bytes = b"") -> bytes:
    """Return a packet of AudioSocket."""
    return bytes([kind]) + len(payload).to_bytes(2) + payload


def pieces(content: bytes, size: int) -> list[bytes]:
    return [content[begin : begin + size] for begin in range(0, len(content), size)]


def finals(messages: Any) -> str:
    """Return the text of all finals."""
    return " ".join(message["text"] for message in messages if message["type"] == "final" and message["text"])


async def play(socket: ClientConnection, content: bytes, size: int, midway: Midway) -> None:
    sent = pieces(content, size)
    for number, piece in enumerate(sent):
        if number == len(sent) // 2:
            midway()
        await socket.send(piece)


async def messages_of(socket: ClientConnection) -> list[dict[str, Any]]:
    """Read up to the close."""
    return [json.loads(message) async for message in _until_closed(socket)]


async def _until_closed(socket: ClientConnection) -> AsyncIterator[str | bytes]:
    try:
        while True:
            yield await socket.recv()
    except ConnectionClosed:
        return


async def events_of(server: ServerProcess, call: str) -> list[dict[str, Any]]:
    """Follow a call from before its beginning to its end."""
    return [event async for event in follow(server.url, call)]
