"""A beat tells what was done since the one before."""

from __future__ import annotations

import pytest

from gigastt.ipc.messages import PassRecord, Stats
from gigastt.workers.process import BEAT_SECONDS, Heartbeat, read_memory

_PASS = PassRecord("final", 1, 0.1, 2.0, 0.1)


def test_a_beat_holds_what_was_done_in_its_time() -> None:
    heartbeat = Heartbeat(now=10.0, read_memory=lambda: 1_000)
    heartbeat.record(0.1, _PASS)
    heartbeat.record(0.1, None)

    busy = heartbeat.beat(10.8, streams=3)
    assert busy.listening == pytest.approx(0.2)
    assert (busy.streams, busy.memory_bytes, busy.passes) == (3, 1_000, [_PASS])
    assert heartbeat.beat(11.6, streams=0) == Stats(0, 0.0, 1_000, [])


def test_a_beat_is_due_before_half_a_second_is_over() -> None:
    heartbeat = Heartbeat(now=10.0, read_memory=lambda: 0)

    assert heartbeat.seconds_left(10.1) == pytest.approx(BEAT_SECONDS - 0.1)
    assert heartbeat.seconds_left(10.5) == 0.0
    heartbeat.beat(10.5, streams=0)
    assert heartbeat.seconds_left(10.5) == pytest.approx(BEAT_SECONDS)
    assert BEAT_SECONDS < 0.5


def test_memory_is_read_rarely() -> None:
    readings = iter(range(1, 10))
    heartbeat = Heartbeat(now=0.0, read_memory=lambda: next(readings))

    assert [heartbeat.beat(now, streams=0).memory_bytes for now in (1.0, 9.0, 10.0, 19.0, 20.0)] == [1, 1, 2, 2, 3]


def test_the_memory_of_this_process_is_known() -> None:
    assert 1_000_000 < read_memory() < 100_000_000_000
