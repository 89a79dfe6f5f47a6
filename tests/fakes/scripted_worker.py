"""A worker program that speaks the pipe protocol around the fake recogniser. Run as a real child.

    python -m tests.fakes.scripted_worker --fd N [--mode MODE]

Some values in the audio make it misbehave as a whole process would: 666 crashes it, 777 spins for ever, 778 sleeps
for ever, 779 closes its pipe and lives on, 780 sends rubbish. 781 makes it compute for two seconds, 782 makes it wait
for two. The mode `broken` ends it before it is ready; `slow` never gets ready.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence

from gigastt.ipc.blackbox import BlackBox
from gigastt.ipc.messages import Audio, PassRecord, Ready, Stats, ToGateway
from gigastt.ipc.packets import PacketDecoder, decode_to_worker, encode_message, encode_packet
from tests.fakes.scripted import BLOCK, FakeRecognizer, Poisoned

SPIN, SLEEP, HANG_UP, RUBBISH, COMPUTE, WAIT = 777, 778, 779, 780, 781, 782
_PASS = PassRecord("partial", 1, 0.001, 1.0, 0.001)  # one a beat, where there are streams
_BEAT_SECONDS = 0.3
_LONG_SECONDS = 2.0


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--box", type=int, required=True)
    parser.add_argument("--place", type=int, required=True)
    parser.add_argument("--mode", default="steady")
    parser.add_argument("--encoder", default="fake.onnx")
    parser.add_argument("--rate", type=float, default=0.01, help="seconds of work for a second of audio")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if options.mode == "broken":
        print("the model is broken", file=sys.stderr)
        return 3
    with socket.socket(fileno=options.fd) as sock:
        if options.mode == "slow":
            return len(sock.recv(1))
        timed = PassRecord("final", 1, 10.0 * options.rate, 10.0, 10.0 * options.rate)
        _send(sock, [Ready(os.getpid(), 0.01, options.encoder, 257, "cpu", [timed], "абв")])
        _work(sock, BlackBox(options.box))
    return 0


def _work(sock: socket.socket, box: BlackBox) -> None:
    recognizer, decoder = FakeRecognizer(), PacketDecoder()
    beat_at = time.monotonic()
    while True:
        now = time.monotonic()
        if now >= beat_at:
            _send(sock, [Stats(len(recognizer.streams), 0.1, 1024, [_PASS] * bool(recognizer.streams))])
            beat_at = now + _BEAT_SECONDS
        readable, _, _ = select.select([sock], [], [], max(0.0, beat_at - now))
        if not readable:
            continue
        piece = sock.recv(1 << 16)
        if not piece:
            return
        for body in decoder.feed(piece):
            message = decode_to_worker(body)
            box.write(recognizer.touches_of(message))
            if isinstance(message, Audio):
                _misbehave(sock, message.pcm)
            try:
                _send(sock, recognizer.handle(message))
            except Poisoned:
                os.abort()
            box.write(())


def _misbehave(sock: socket.socket, pcm: bytes) -> None:
    values = {int.from_bytes(pcm[at : at + 2], "little") for at in range(0, len(pcm) - 1, BLOCK)}
    if SPIN in values:
        while True:
            pass
    if COMPUTE in values:
        until = time.process_time() + _LONG_SECONDS
        while time.process_time() < until:
            pass
    if WAIT in values:
        threading.Event().wait(_LONG_SECONDS)
    if SLEEP in values:
        threading.Event().wait()
    if HANG_UP in values:
        sock.shutdown(socket.SHUT_RDWR)
        threading.Event().wait()
    if RUBBISH in values:
        sock.sendall(b"\x01\x00\x00\x00\xc1")
        threading.Event().wait()


def _send(sock: socket.socket, messages: Sequence[ToGateway]) -> None:
    try:
        sock.sendall(b"".join(encode_packet(encode_message(message)) for message in messages))
    except OSError:
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
