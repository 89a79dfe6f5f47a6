"""Two calls of two speakers each, over every telephone protocol: the words are those of the same audio as a file."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import cache

import pytest

from gigastt.spelling import PLAIN
from tests.clients.telephones import (
    Exchange,
    at_16_khz,
    audiosocket,
    chan_websocket,
    companded_url,
    freeswitch,
    jambonz,
    jitsi,
    vosk_module,
)
from tests.phone_calls import FIRST_CALL, RATE, SECOND_CALL, companded, make_call
from tests.server import ServerProcess
from tests.wave_files import Waveform, encode, wave_file

EXCHANGES = [freeswitch, companded_url, audiosocket, chan_websocket, jambonz, jitsi]
CALLS = {"first": FIRST_CALL, "second": SECOND_CALL}


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    listeners = ("--audiosocket", "127.0.0.1:0", "--vosk", "127.0.0.1:0")
    with ServerProcess("--pool-size", "2", "--max-sessions", "8", *listeners) as running:
        yield running


@cache
def legs_of(call: str) -> tuple[Waveform, ...]:
    return tuple(companded(leg) for leg in make_call(CALLS[call]))


def by_file(server: ServerProcess, call: str, exchange: Exchange) -> list[str]:
    """Return the text of each leg, transcribed as a file of what is sent."""
    return _by_file(server, call, 16_000 if exchange is jitsi else RATE)


@cache
def _by_file(server: ServerProcess, call: str, rate: int) -> list[str]:
    sent = [encode(leg, "pcm_s16le") if rate == RATE else at_16_khz(leg) for leg in legs_of(call)]
    files = [wave_file(content, rate) for content in sent]
    return [server.post("/v1/transcribe", content).json()["text"] for content in files]


@pytest.mark.parametrize("frame_ms", [20, 1000])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.__name__)
async def test_the_words_are_those_of_the_file(
    server: ServerProcess, exchange: Exchange, call: str, frame_ms: int
) -> None:
    texts = await exchange(server, legs_of(call), frame_ms, lambda: None)
    assert texts == by_file(server, call, exchange)
    assert all(len(text.split()) > 4 for text in texts)


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.__name__)
async def test_workers_killed_in_the_middle_are_not_noticed(server: ServerProcess, exchange: Exchange) -> None:
    expected = by_file(server, "first", exchange)
    killed: list[int] = []

    def kill() -> None:
        if not killed:
            killed.extend(server.worker_pids())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    assert await exchange(server, legs_of("first"), 20, kill) == expected
    assert killed


@pytest.mark.parametrize("call", CALLS)
async def test_frames_of_3200_bytes_without_a_configuration_are_understood(server: ServerProcess, call: str) -> None:
    texts = await vosk_module(server, legs_of(call), 200, lambda: None)
    assert texts == [PLAIN.spell(text) for text in by_file(server, call, vosk_module)]
