"""Telephone calls: 8 kHz companded audio, two speakers on two channels, cut anywhere."""

from __future__ import annotations

import asyncio
from typing import Any

import jiwer
import numpy as np
import pytest

from tests.clips import normalise
from tests.live_client import LiveClient, transcribe_live
from tests.phone_calls import CLIPS, FIRST_CALL, RATE, interleave, make_call
from tests.server import ServerProcess
from tests.wave_files import encode, wave_file


def spoken(client: LiveClient, channel: int | None = None) -> list[dict[str, Any]]:
    """Return the finals of one channel, or of the only one, without what counts over the whole session."""
    fields = ("text", "words", "start", "end", "confidence")
    finals = client.finals if channel is None else [f for f in client.finals if f["channel"] == channel]
    return [{name: final[name] for name in fields} for final in finals]


@pytest.mark.parametrize(("encoding", "chunk_bytes"), [("mulaw", 320), ("mulaw", 333), ("alaw", 16_001)])
async def test_a_call_comes_out_as_two_speakers_in_order_of_time(
    server: ServerProcess, encoding: str, chunk_bytes: int
) -> None:
    call = make_call()
    client = await transcribe_live(
        server.websocket_url,
        interleave(call, encoding),
        rate=RATE,
        chunk_bytes=chunk_bytes,
        encoding=encoding,
        channels=2,
    )
    assert client.close_code == 1000
    assert client.of("error") == []
    assert all("channel" in message for message in client.of("partial") + client.of("final"))
    assert [final["seq"] for final in client.of("final")] == list(range(len(client.of("final"))))
    ends = [final["end"] for final in client.finals]
    assert ends == sorted(ends)
    speakers = [final["channel"] for final in client.finals]
    changes = [speaker for i, speaker in enumerate(speakers) if not i or speaker != speakers[i - 1]]
    assert changes == [0, 1, 0, 1]
    contents = [encode(waveform, encoding) for waveform in call]
    by_themselves = await asyncio.gather(
        *(transcribe_live(server.websocket_url, content, rate=RATE, encoding=encoding) for content in contents)
    )
    for channel, (content, alone) in enumerate(zip(contents, by_themselves, strict=True)):
        assert all("channel" not in message for message in alone.messages)
        assert spoken(client, channel) == spoken(alone)
        uploaded = server.post("/v1/transcribe", wave_file(content, RATE, encoding)).json()
        assert spoken(client, channel) == uploaded["segments"]


@pytest.mark.parametrize("encoding", ["mulaw", "alaw"])
async def test_the_line_costs_few_words(server: ServerProcess, encoding: str) -> None:
    call = make_call()
    client = await transcribe_live(
        server.websocket_url, interleave(call, encoding), rate=RATE, encoding=encoding, channels=2
    )
    said = [" ".join(CLIPS[name].reference for speaker, name in FIRST_CALL if speaker == who) for who in (0, 1)]
    heard = [" ".join(final["text"] for final in spoken(client, who)) for who in (0, 1)]
    assert jiwer.wer([normalise(text) for text in said], [normalise(text) for text in heard]) < 0.2


@pytest.mark.parametrize("chunk_bytes", [3_200, 1_023])
async def test_floats_say_what_the_same_integers_say(server: ServerProcess, chunk_bytes: int) -> None:
    integers = np.frombuffer(encode(make_call()[1], "pcm_s16le"), dtype="<i2")
    floats = encode(integers.astype(np.float32) / np.float32(32_768), "pcm_f32le")
    of_integers, of_floats = await asyncio.gather(
        transcribe_live(server.websocket_url, integers.tobytes(), rate=RATE, chunk_bytes=chunk_bytes),
        transcribe_live(server.websocket_url, floats, rate=RATE, chunk_bytes=2 * chunk_bytes + 1, encoding="pcm_f32le"),
    )
    assert spoken(of_floats) == spoken(of_integers) != []
