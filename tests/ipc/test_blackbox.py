"""The black box: what one side writes the other reads, whatever a dying process left in it."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest

from gigastt.ipc.blackbox import BYTES, BlackBox, Touch
from gigastt.ipc.messages import StreamId


@pytest.fixture
def descriptor() -> Iterator[int]:
    descriptor = BlackBox.create()
    yield descriptor
    os.close(descriptor)


def test_what_is_written_on_one_side_is_read_on_the_other(descriptor: int) -> None:
    worker, gateway = BlackBox(descriptor), BlackBox(descriptor)
    touches = [Touch(StreamId(3), 0, 640), Touch(StreamId(2**40), 5, 2**50)]
    worker.write(touches)
    assert gateway.read() == touches
    worker.write(())
    assert gateway.read() == []


def test_a_box_is_empty_between_two_pieces_of_work(descriptor: int) -> None:
    worker, gateway = BlackBox(descriptor), BlackBox(descriptor)
    found = [gateway.is_empty]
    for touches in ([Touch(StreamId(3), 0, 640)], []):
        worker.write(touches)
        found.append(gateway.is_empty)
    assert found == [True, False, True]


def test_more_than_fits_is_cut(descriptor: int) -> None:
    box = BlackBox(descriptor)
    box.write([Touch(StreamId(number), 0, 1) for number in range(1, 1_000)])
    found = box.read()
    assert [touch.stream for touch in found] == list(range(1, len(found) + 1))
    assert len(found) >= 100


@pytest.mark.parametrize("count", [-1, 2**62, 3])
def test_any_bytes_can_be_read(descriptor: int, count: int) -> None:
    os.pwrite(descriptor, struct.pack("<q", count) + os.urandom(BYTES - 8), 0)
    assert all(touch.start < touch.end for touch in BlackBox(descriptor).read())


def test_a_worker_cannot_take_the_memory_away(descriptor: int) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(descriptor, 0)
    assert BlackBox(descriptor).is_empty
