"""A real worker process with the demonstration model, and the gateway's end of its pipe."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from gigastt.audio.pcm import Samples
from gigastt.config import DEMO_MODEL
from gigastt.ipc.blackbox import BlackBox
from gigastt.ipc.messages import Audio, Closed, StreamId, ToGateway, ToWorker
from gigastt.ipc.packets import PacketDecoder, decode_to_gateway, encode_message, encode_packet
from gigastt.models.store import resolve
from gigastt.workers.config import WorkerConfig

Message = TypeVar("Message")

_READ_SECONDS = 20.0


def demo_config() -> WorkerConfig:
    """The demonstration model that the package carries."""
    files = resolve(DEMO_MODEL, Path())
    return WorkerConfig(
        DEMO_MODEL, str(files.encoder), str(files.vocabulary), str(files.decoder), str(files.joint), log_format="json"
    )


class WorkerClient:
    """Speaks to a worker as the gateway does, but blocking."""

    def __init__(self, process: subprocess.Popen[bytes], sock: socket.socket) -> None:
        self.process = process
        self.socket = sock
        self._decoder = PacketDecoder()
        self._ready: list[ToGateway] = []

    def send(self, *messages: ToWorker) -> None:
        self.socket.sendall(b"".join(encode_packet(encode_message(message)) for message in messages))

    def send_audio(self, stream: StreamId, samples: Samples, chunk: int) -> None:
        """Send samples in packets of `chunk`."""
        for begin in range(0, len(samples), chunk):
            self.send(Audio(stream, samples[begin : begin + chunk].astype("<i2").tobytes()))

    def receive(self) -> ToGateway:
        """Return the next message.

        Raises:
            EOFError: the worker is gone.
        """
        while not self._ready:
            piece = self.socket.recv(65_536)
            if not piece:
                raise EOFError
            self._ready += map(decode_to_gateway, self._decoder.feed(piece))
        return self._ready.pop(0)

    def receive_a(self, kind: type[Message]) -> Message:
        """Return the next message of one kind; skip the others."""
        while True:
            message = self.receive()
            if isinstance(message, kind):
                return message

    def receive_all(self, stream: StreamId) -> list[ToGateway]:
        """Return everything of one stream, up to its end."""
        messages: list[ToGateway] = []
        while not messages or messages[-1] != Closed(stream):
            message = self.receive()
            if getattr(message, "stream", None) == stream:
                messages.append(message)
        return messages


@contextmanager
def spawn_worker(config: WorkerConfig) -> Iterator[WorkerClient]:
    """Start a worker; close its pipe and reap it at the end."""
    ours, theirs = socket.socketpair()
    ours.settimeout(_READ_SECONDS)
    with ours:
        with theirs:
            box = BlackBox.create()
            command = [*config.command(theirs.fileno()), "--box", str(box)]
            process = subprocess.Popen(command, pass_fds=[theirs.fileno(), box], stderr=subprocess.PIPE)
            os.close(box)
        try:
            yield WorkerClient(process, ours)
        finally:
            with contextlib.suppress(OSError):
                ours.shutdown(socket.SHUT_RDWR)
            with process:  # closes its standard error, and waits
                pass
