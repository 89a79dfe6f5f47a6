"""The black box: what a worker notes before it looks at audio, read by another process, whatever was left there."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gigastt.ipc.blackbox import BYTES, BlackBox, Touch
from gigastt.ipc.messages import StreamId
from tests.waiting import wait_for

MOST = 170  # that fit into a page


@pytest.fixture
def descriptor() -> Iterator[int]:
    opened = BlackBox.create()
    yield opened
    os.close(opened)


def touches(count: int) -> list[Touch]:
    return [Touch(StreamId(number + 1), 640 * number, 640 * number + 1) for number in range(count)]


def test_a_new_box_is_empty(descriptor: int) -> None:
    box = BlackBox(descriptor)
    assert box.is_empty
    assert box.read() == []


@pytest.mark.parametrize("count", [1, 2, MOST])
def test_what_one_side_writes_the_other_reads(descriptor: int, count: int) -> None:
    mine, theirs = BlackBox(descriptor), BlackBox(descriptor)
    mine.write(touches(count))
    assert theirs.read() == touches(count)
    assert not theirs.is_empty
    mine.write(())
    assert theirs.read() == []


def test_fewer_touches_than_before_leave_nothing_of_the_others(descriptor: int) -> None:
    box = BlackBox(descriptor)
    box.write(touches(8))
    box.write(touches(2))
    assert box.read() == touches(2)


def test_of_more_than_fit_the_first_are_kept(descriptor: int) -> None:
    box = BlackBox(descriptor)
    box.write(touches(MOST + 30))
    assert box.read() == touches(MOST)


@given(st.binary(max_size=BYTES))
@example(b"\xff" * BYTES)  # a count of -1
@example(b"\xff" * 7 + b"\x7f")  # the largest count
@example((MOST + 1).to_bytes(8, "little"))
@example(b"\x01")  # a count that was written, and a touch that was not
def test_any_bytes_can_be_read(content: bytes) -> None:
    descriptor = BlackBox.create()
    try:
        box = BlackBox(descriptor)
        os.pwrite(descriptor, content, 0)
        found = box.read()
        assert len(found) <= MOST
        assert all(touch.start < touch.end for touch in found)
        assert box.is_empty is (content[:8].strip(b"\0") == b"")
        box.close()
        assert os.fstat(descriptor).st_size == BYTES
    finally:
        os.close(descriptor)


@pytest.mark.slow
def test_what_is_said_outlives_its_writer(descriptor: int) -> None:
    code = (
        "import sys, threading; from gigastt.ipc.blackbox import BlackBox, Touch;"
        "BlackBox(int(sys.argv[1])).write([Touch(7, 640, 1280)]); threading.Event().wait()"
    )
    box = BlackBox(descriptor)
    with subprocess.Popen([sys.executable, "-c", code, str(descriptor)], pass_fds=[descriptor]) as child:
        wait_for(lambda: not box.is_empty)
        child.send_signal(signal.SIGKILL)
    assert box.read() == [Touch(StreamId(7), 640, 1280)]


def test_a_closed_box_keeps_no_descriptor() -> None:
    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = opened()
    descriptor = BlackBox.create()
    box = BlackBox(descriptor)
    os.close(descriptor)
    box.close()
    assert opened() == before
    assert BYTES == mmap.PAGESIZE


def test_a_worker_cannot_take_the_memory_away(descriptor: int) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(descriptor, 0)
    assert BlackBox(descriptor).is_empty
