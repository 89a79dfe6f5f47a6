"""The inbox brings messages in order and says when the pipe has ended."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from gigastt.ipc.messages import Cancel, Closed, StreamId, ToGateway, ToWorker
from gigastt.ipc.packets import encode_message, encode_packet
from gigastt.workers.process import Inbox, read_socket
from tests.waiting import wait_for

_MESSAGES: list[ToWorker] = [Cancel(StreamId(number)) for number in range(10)]


class Pipe:
    """A socket pair with a reader thread on one end."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.inbox = Inbox()
        self.finished = threading.Event()
        self.reader = threading.Thread(target=read_socket, args=(self.theirs, self.inbox, self.finished.set))
        self.reader.start()

    def send(self, *messages: ToWorker | ToGateway) -> None:
        self.ours.sendall(b"".join(encode_packet(encode_message(message)) for message in messages))

    def receive(self, count: int) -> list[ToWorker]:
        received: list[ToWorker] = []
        while len(received) < count and not self.inbox.ended:
            received += self.inbox.receive(timeout=60.0, most=100)
        return received

    def close(self) -> None:
        self.ours.close()
        self.reader.join()
        self.theirs.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def test_messages_come_in_order(pipe: Pipe) -> None:
    pipe.send(*_MESSAGES)

    assert pipe.receive(10) == _MESSAGES


def test_no_more_come_at_once_than_are_asked_for() -> None:
    inbox = Inbox()
    for message in _MESSAGES:
        inbox.put(message)

    assert inbox.receive(timeout=0.0, most=4) == _MESSAGES[:4]
    assert inbox.receive(timeout=None, most=100) == _MESSAGES[4:]


@pytest.mark.parametrize("timeout", [0.0, 0.05])
def test_an_empty_inbox_returns_after_the_timeout(timeout: float) -> None:
    begun = time.monotonic()

    assert Inbox().receive(timeout=timeout, most=1) == []
    assert time.monotonic() - begun >= timeout


def test_the_end_of_the_pipe_comes_behind_the_last_message(pipe: Pipe) -> None:
    pipe.send(*_MESSAGES)
    pipe.ours.close()

    assert pipe.receive(11) == _MESSAGES
    assert pipe.inbox.ended
    assert pipe.inbox.violation is None
    assert pipe.finished.wait(5.0)


def test_what_breaks_the_protocol_is_told_behind_what_came_before(pipe: Pipe) -> None:
    pipe.send(_MESSAGES[0], Closed(StreamId(1)))

    assert pipe.receive(2) == _MESSAGES[:1]
    wait_for(lambda: pipe.inbox.violation)
    assert "wrong side" in str(pipe.inbox.violation)
