"""Clients of vosk-server, as their exchange goes, hear what `POST /v1/transcribe` says in lower case and bare."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from gigastt.gateway.api.spelling import plain
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
    return plain(server.post("/v1/transcribe", clip.path.read_bytes()).json()["text"])


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


def test_a_server_that_stops_tells_the_words_so_far() -> None:
    clip = load_clips()[0]
    with ServerProcess("--pool-size", "1", "--vosk", "127.0.0.1:0") as server, connect(address(server)) as socket:
        socket.send(CONFIG)
        told = [ask(socket, frame) for frame in frames(clip, 200)]
        server.signal(signal.SIGTERM)
        wait_for(lambda: bool(server.logged("draining")))
        told += [json.loads(message) for message in socket]
        assert socket.close_code == 1001
    assert " ".join(reply["text"] for reply in told if reply.get("text")) == plain(clip.reference)
