"""The inbox: what the gateway sent, from the reader thread to the main thread.

One reader thread owns the receiving half of the socket and writes here; the main thread reads. Nothing else
is shared between them.
"""

from __future__ import annotations

import queue
import socket
from collections.abc import Callable

from gigastt.errors import ProtocolViolation
from gigastt.ipc.messages import ToWorker, decode_to_worker
from gigastt.ipc.packets import PacketDecoder

_READ_BYTES = 256 * 1024


class Inbox:
    """Messages in order of arrival, until the pipe ends."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[ToWorker | None] = queue.SimpleQueue()
        self._ended = False
        self.violation: ProtocolViolation | None = None

    def put(self, message: ToWorker) -> None:
        """Add a message (reader thread)."""
        self._queue.put(message)

    def end(self, violation: ProtocolViolation | None = None) -> None:
        """Say that nothing more comes, and why if it is not the end of the pipe (reader thread)."""
        self.violation = violation
        self._queue.put(None)

    def receive(self, timeout: float | None, most: int) -> list[ToWorker]:
        """Return the waiting messages; wait for the first one up to `timeout` seconds (main thread).

        Args:
            timeout: None waits without end, 0 not at all.
            most: messages to return at once, so that the worker's own work is not put off by a flood.
        """
        messages: list[ToWorker] = []
        try:
            while not self._ended and len(messages) < most:
                wait = timeout if not messages else 0.0
                message = self._queue.get(timeout=wait) if wait != 0.0 else self._queue.get_nowait()
                if message is None:
                    self._ended = True
                else:
                    messages.append(message)
        except queue.Empty:
            pass
        return messages

    @property
    def ended(self) -> bool:
        """Whether the end of the pipe was reached (main thread)."""
        return self._ended


def read_socket(sock: socket.socket, inbox: Inbox, finished: Callable[[], None]) -> None:
    """Move everything the gateway sends into the inbox; the body of the reader thread.

    Args:
        finished: called when the pipe has ended: the gateway is gone, or broke the protocol.
    """
    decoder = PacketDecoder()
    violation: ProtocolViolation | None = None
    try:
        while piece := sock.recv(_READ_BYTES):
            for body in decoder.feed(piece):
                inbox.put(decode_to_worker(body))
    except ProtocolViolation as exc:
        violation = exc
    except OSError:  # a reset is as much an end as any
        pass
    inbox.end(violation)
    finished()
