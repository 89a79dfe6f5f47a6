"""Clients of vosk-server, as their exchange goes, hear what `POST /v1/transcribe` says in lower case and bare."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from gigastt.spelling import PLAIN
from tests.clips import Clip, load_clips
from tests.server import ServerProcess
from tests.waiting import wait_for

CONFIG = '{ "config" : { "sample_rate" : 16000 } }'
EOF = '{"eof" : 1}'


@pytest.fixture(scope="module")
def vosk() -> Iterator[ServerProcess]:
    with ServerProcess("--pool-size", "2", "--vosk", "127.0.0.1:0") as running:
        yield running


def address(server: ServerProcess) -> str:
    [listening] = server.logged("vosk_listening")
    return f"ws://{listening['host']}:{listening['port']}"


def ask(socket: ClientConnection, message: str | bytes) -> dict[str, Any]:
    socket.send(message)
    reply: dict[str, Any] = json.loads(socket.recv(60))
    return reply


def frames(clip: Clip, milliseconds: int) -> list[bytes]:
    size = 32 * milliseconds
    return [clip.pcm[begin : begin + size] for begin in range(0, len(clip.pcm), size)]


def by_file(server: ServerProcess, clip: Clip) -> str:
    return PLAIN.spell(server.post("/v1/transcribe", clip.path.read_bytes()).json()["text"])


@pytest.mark.parametrize("milliseconds", [20, 200, 1000])
@pytest.mark.parametrize("clip", load_clips(), ids=lambda clip: clip.path.stem)
def test_the_words_are_those_of_the_file(vosk: ServerProcess, clip: Clip, milliseconds: int) -> None:
    with connect(address(vosk)) as socket:
        socket.send(CONFIG)
        replies = [ask(socket, frame) for frame in frames(clip, milliseconds)]
        replies.append(ask(socket, EOF))
    assert all(("partial" in reply) != ("text" in reply) for reply in replies)
    assert " ".join(reply["text"] for reply in replies if reply.get("text")) == by_file(vosk, clip)


def test_a_worker_killed_in_the_middle_is_not_noticed(vosk: ServerProcess) -> None:
    clip = load_clips()[0]
    sent = frames(clip, 200)
    with connect(address(vosk)) as socket:
        socket.send(CONFIG)
        replies = [ask(socket, frame) for frame in sent[: len(sent) // 2]]
        for pid in vosk.worker_pids():
            os.kill(pid, signal.SIGKILL)
        replies += [ask(socket, frame) for frame in sent[len(sent) // 2 :]]
        replies.append(ask(socket, EOF))
    assert " ".join(reply["text"] for reply in replies if reply.get("text")) == by_file(vosk, clip)


def test_samples_that_send_a_wav_file_as_it_is(vosk: ServerProcess) -> None:
    """Those in Go, C# and PHP: no `config`, 8,000 bytes a frame, each waited for; Go pads one, PHP adds one."""
    clip = load_clips()[0]
    file = clip.path.read_bytes()
    with connect(address(vosk)) as socket:
        replies = [ask(socket, file[begin : begin + 8000].ljust(8000, b"\0")) for begin in range(0, len(file), 8000)]
        replies += [ask(socket, b""), ask(socket, EOF)]
    assert " ".join(reply["text"] for reply in replies if reply.get("text")) == by_file(vosk, clip)


def test_samples_that_do_not_wait_for_replies(vosk: ServerProcess) -> None:
    """The one for Node: a WAV file in pieces of 65,536 bytes and the end at once; then it reads until the close."""
    clip = load_clips()[0]
    file = clip.path.read_bytes()
    with connect(address(vosk)) as socket:
        for begin in range(0, len(file), 65536):
            socket.send(file[begin : begin + 65536])
        socket.send(EOF)
        replies = [json.loads(message) for message in socket]
        assert socket.close_code == 1000
    assert len(replies) == -(-len(file) // 65536) + 1
    assert " ".join(reply["text"] for reply in replies if reply.get("text")) == by_file(vosk, clip)


def test_samples_that_hang_up_without_an_end(vosk: ServerProcess) -> None:
    """The one for Asterisk's EAGI: 8 kHz, and the socket is closed when the call is over."""
    before = len(vosk.logged("session_closed"))
    with connect(address(vosk)) as socket:
        socket.send('{ "config" : { "sample_rate" : 8000 } }')
        assert "partial" in ask(socket, bytes(8000))
    wait_for(lambda: len(vosk.logged("session_closed")) > before)


def test_a_server_that_stops_tells_the_words_so_far() -> None:
    clip = load_clips()[0]
    with ServerProcess("--pool-size", "1", "--vosk", "127.0.0.1:0") as server, connect(address(server)) as socket:
        socket.send(CONFIG)
        told = [ask(socket, frame) for frame in frames(clip, 200)]
        server.signal(signal.SIGTERM)
        wait_for(lambda: bool(server.logged("draining")))
        told += [json.loads(message) for message in socket]
        assert socket.close_code == 1001
    assert " ".join(reply["text"] for reply in told if reply.get("text")) == PLAIN.spell(clip.reference)
