"""The gateway's processor time: `python -m benchmarks.gateway [--streams 20] [--cores 0,1,2]`.

Microphones send frames at their pace, phases spread, speech half of the time, to servers in turns, each alone on its
core: the real one (its worker on another core), in each protocol, a WebSocket server of the same connection class that
only receives, and a socket that only receives. The last two are the floor: what the machine asks for the frames
themselves. Prints one JSON object with the share of a core that each took.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import secrets
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import uvloop
from starlette.types import Receive, Scope, Send
from websockets.frames import Frame, Opcode

from benchmarks.pinned import machine
from benchmarks.playlist import SAMPLE_RATE, load_clips, make_playlist
from benchmarks.server_process import free_port, model_flags, serve
from gigastt.gateway.server.listener import Server, bind


@dataclass(frozen=True)
class Protocol:
    """How a microphone speaks: its address, its first message, and its audio, as bytes of its connection.

    path: of its WebSocket; empty where it has none.
    first: the same for all, or made for each.
    flag: opens its listener; empty where it speaks to the server's own.
    """

    path: str
    first: bytes | Callable[[], bytes]
    frame: Callable[[bytes], bytes]
    flag: str = ""


def _text(fields: dict[str, Any]) -> bytes:
    return Frame(Opcode.TEXT, json.dumps(fields).encode()).serialize(mask=True)


def _binary(pcm: bytes) -> bytes:
    return Frame(Opcode.BINARY, pcm).serialize(mask=True)


def _in_base64(pcm: bytes) -> bytes:
    return _text({"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm).decode()})


def _as_event(kind: str, fields: dict[str, Any], payload: bytes = b"") -> bytes:
    """Return an event of Wyoming."""
    data = json.dumps(fields).encode()
    header = {"type": kind, "version": "1.10.2", "data_length": len(data), "payload_length": len(payload)}
    return json.dumps(header).encode() + b"\n" + data + payload


def _as_packet(pcm: bytes) -> bytes:
    """Return a packet of AudioSocket, of 16 kHz."""
    return b"\x12" + len(pcm).to_bytes(2) + pcm


def _as_media_start() -> bytes:
    text = f"MEDIA_START connection_id:{secrets.token_hex(8)} format:slin16 optimal_frame_size:640 ptime:20"
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=True)


_SPEAKER = b"speaker-1|ru".ljust(60, b"\0")
_JAMBONZ = {"type": "start", "language": "ru-RU", "sampleRateHz": SAMPLE_RATE, "interimResults": True}
_FORMAT = {"format": {"type": "audio/pcm", "rate": SAMPLE_RATE}}
_CHUNK = {"rate": SAMPLE_RATE, "width": 2, "channels": 1, "timestamp": None}
PROTOCOLS = {
    "gigastt": Protocol("/v1/ws", _text({"type": "configure", "sample_rate": SAMPLE_RATE}), _binary),
    "realtime": Protocol(
        "/v1/realtime",
        _text({"type": "session.update", "session": {"type": "transcription", "audio": {"input": _FORMAT}}}),
        _in_base64,
    ),
    "deepgram": Protocol(
        f"/v1/listen?encoding=linear16&sample_rate={SAMPLE_RATE}&interim_results=true&punctuate=true", b"", _binary
    ),
    "vosk": Protocol("/", _text({"config": {"sample_rate": SAMPLE_RATE}}), _binary, "--vosk"),
    "wyoming": Protocol(
        "", _as_event("transcribe", {"language": "ru"}), lambda pcm: _as_event("audio-chunk", _CHUNK, pcm), "--wyoming"
    ),
    "telephone": Protocol(f"/v1/ws?sample_rate={SAMPLE_RATE}", b"", _binary),
    "audiosocket": Protocol("", lambda: b"\1\0\x10" + secrets.token_bytes(16), _as_packet, "--audiosocket"),
    "asterisk": Protocol("/v1/asterisk/ws", _as_media_start, _binary),
    "jambonz": Protocol("/v1/jambonz", _text(_JAMBONZ), _binary),
    "jitsi": Protocol("/v1/jitsi/ws/m", b"", lambda pcm: _binary(_SPEAKER + pcm)),
}
CONTENDERS = (*PROTOCOLS, "websocket_receiver", "socket_receiver")
_WARM_UP_SECONDS = 2.0
_START_SECONDS = 20.0


# -- the floor: servers that only receive


async def receive_only(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept a WebSocket and forget what comes."""
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


class SocketReceiver(asyncio.Protocol):
    """Says what a WebSocket client wants to hear, and forgets what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        pass


async def run_receiver(kind: str, port: int) -> None:
    if kind == "websocket_receiver":
        await Server(receive_only, max_frame_bytes=512 * 1024).serve(bind("127.0.0.1", port))
    else:
        server = await asyncio.get_running_loop().create_server(SocketReceiver, "127.0.0.1", port)
        await server.serve_forever()


@contextlib.contextmanager
def receiver(kind: str, core: int) -> Iterator[tuple[int, int]]:
    """Run a receiver in a process of its own; yield its port and its process id."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.gateway", "--receive", kind, "--port", str(port)]
    child = subprocess.Popen(command, preexec_fn=lambda: os.sched_setaffinity(0, {core}), stdout=sys.stderr)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield port, child.pid
    finally:
        child.kill()
        child.wait()


@contextlib.contextmanager
def contender(name: str, options: argparse.Namespace, core: int, worker_core: int) -> Iterator[tuple[int, int]]:
    """Run a contender; yield its port and the process id that is measured."""
    if name not in PROTOCOLS:
        with receiver(name, core) as running:
            yield running
        return
    model = model_flags(options.model)
    flags = [*model, "--pool-size", "1", "--max-sessions", str(options.streams)]
    flag, port = PROTOCOLS[name].flag, free_port()
    flags += [flag, f"127.0.0.1:{port}"] if flag else []
    with serve(flags, cores=[core]) as server:
        for pid in server.worker_pids():
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), {worker_core})
        yield port if flag else server.port, server.pid


# -- the microphones


def make_frames(options: argparse.Namespace, protocol: Protocol) -> list[list[bytes]]:
    """Return what each stream sends, ready for its socket."""
    clips, seconds = load_clips(options.clips), options.seconds + _WARM_UP_SECONDS
    size = 2 * SAMPLE_RATE * options.chunk_ms // 1000
    streams = []
    for number in range(options.streams):
        samples = make_playlist(clips, seconds, options.seed + number).samples[: int(seconds * SAMPLE_RATE)]
        pcm = samples.astype("<i2").tobytes()
        pieces = (pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size))
        streams.append([protocol.frame(piece) for piece in pieces])
    return streams


def connect(port: int, protocol: Protocol) -> socket.socket:
    """Open a session."""
    client = socket.create_connection(("127.0.0.1", port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    first = protocol.first if isinstance(protocol.first, bytes) else protocol.first()
    if not protocol.path:
        client.sendall(first)
        client.setblocking(False)
        return client
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    client.sendall(
        f"GET {protocol.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += client.recv(4096)
    client.sendall(first)
    client.setblocking(False)
    return client


def play(port: int, pid: int, protocol: Protocol, streams: Sequence[Sequence[bytes]], chunk_seconds: float) -> float:
    """Send every stream at its pace; return the share of a core that the process took.

    It counts by the time of the audio: on a busy machine it takes longer to send.
    """
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(port, protocol)) for _ in streams]
        polled = stack.enter_context(select.epoll())
        for client in clients:
            polled.register(client, select.EPOLLIN)
        plan = sorted(
            ((count + number / len(streams)) * chunk_seconds, number, frame)
            for number, frames in enumerate(streams)
            for count, frame in enumerate(frames)
        )
        start, began, used = time.monotonic(), 0.0, 0.0
        for at, number, frame in plan:
            time.sleep(max(0.0, start + at - time.monotonic()))
            if not began and at >= _WARM_UP_SECONDS:
                began, used = at, cpu_seconds(pid)
            clients[number].send(frame)
            if number == 0:
                for descriptor, _ in polled.poll(0):
                    answer_ping(descriptor, os.read(descriptor, 1 << 20))
        return (cpu_seconds(pid) - used) / (plan[-1][0] - began)


def answer_ping(descriptor: int, received: bytes) -> None:
    """Send the pong, if there is a ping; no JSON has such a byte as its length."""
    if (at := received.find(b"\x89\x04")) >= 0:
        os.write(descriptor, Frame(Opcode.PONG, received[at + 2 : at + 6]).serialize(mask=True))


def cpu_seconds(pid: int) -> float:
    """Processor time of a process's threads, to the nanosecond."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text("ascii").split()[0]) for thread in threads) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    parser.add_argument("--model", default="demo", help="demo, or a folder of model files")
    parser.add_argument("--clips", type=Path, default=Path("tests/data"), help="with manifest.json and WAV files")
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--chunk-ms", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", default="0,1,2", help="processors of the clients, the worker and the gateway")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--contenders", help=f"some of {','.join(CONTENDERS)}")
    parser.add_argument("--receive", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.receive:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_receiver(options.receive, options.port))
        return
    client_core, worker_core, core = (int(text) for text in options.cores.split(","))
    os.sched_setaffinity(0, {client_core})
    streams = {name: make_frames(options, protocol) for name, protocol in PROTOCOLS.items()}
    native = next(iter(PROTOCOLS))
    chosen = options.contenders.split(",") if options.contenders else CONTENDERS
    shares: dict[str, list[float]] = {name: [] for name in chosen}
    for _ in range(options.rounds):
        for name in chosen:
            with contender(name, options, core, worker_core) as (port, pid):
                spoken = name if name in PROTOCOLS else native
                share = play(port, pid, PROTOCOLS[spoken], streams[spoken], options.chunk_ms / 1000)
                shares[name].append(round(share, 5))
                print(f"{name}: {shares[name][-1]}", file=sys.stderr)
    result = {name: {"median": statistics.median(values), "all": values} for name, values in shares.items()}
    settings = {"streams": options.streams, "chunk_ms": options.chunk_ms, "seconds": options.seconds}
    print(json.dumps({**machine(core), **settings, "core_share": result}))


if __name__ == "__main__":
    main()
