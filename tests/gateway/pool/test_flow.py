"""Flow control: the replay buffer, credit, the speed limit and arrivals."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.gateway.api.intake import Pace
from gigastt.gateway.pool.latency import Arrivals
from gigastt.gateway.pool.sources import CREDIT_SAMPLES, KEPT_SAMPLES, LiveSource, credit

SECOND = 16_000


@given(
    pieces=st.lists(st.integers(0, 40) | st.integers(300, 700), max_size=20),
    cuts=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)), max_size=8),
)
def test_buffer_returns_exactly_the_samples_it_was_given(
    pieces: list[int], cuts: list[tuple[float, float, float]]
) -> None:
    buffer, whole = LiveSource(), np.zeros(0, dtype=np.int16)
    for count in pieces:
        piece = np.arange(len(whole), len(whole) + count, dtype=np.int16)
        buffer.append(piece.tobytes())
        whole = np.concatenate([whole, piece])
    assert buffer.end == len(whole)
    for trim, first, second in cuts:
        buffer.trim(buffer.start + int(trim * (buffer.end - buffer.start)))
        start, end = sorted(buffer.start + int(f * (buffer.end - buffer.start)) for f in (first, second))
        assert buffer.read(start, end) == whole[start:end].tobytes()


@given(trim=st.integers(0, 30), until=st.integers(0, 40), sizes=st.lists(st.integers(1, 9), max_size=6))
def test_silence_overwrites_only_what_lies_before_its_end(trim: int, until: int, sizes: list[int]) -> None:
    buffer = LiveSource()
    for size in sizes:
        buffer.append(np.ones(size, dtype=np.int16).tobytes())
    buffer.trim(min(trim, buffer.end))
    start, end = buffer.start, buffer.end
    buffer.silence(until)
    assert (buffer.start, buffer.end) == (start, end)
    expected = [0 if at < until else 1 for at in range(start, end)]
    assert np.frombuffer(buffer.read(start, end), dtype="<i2").tolist() == expected


def test_single_samples_take_little_more_room_than_large_pieces() -> None:
    buffer = LiveSource()
    tracemalloc.start()
    try:
        for number in range(SECOND):
            buffer.append(number.to_bytes(2, "little"))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 1.5 * 2 * SECOND
    assert buffer.read(0, SECOND) == np.arange(SECOND, dtype="<i2").tobytes()


@pytest.mark.parametrize(
    ("end", "consumed", "committed", "room"),
    [
        (0, 0, 0, CREDIT_SAMPLES),
        (CREDIT_SAMPLES, 0, 0, 0),
        (CREDIT_SAMPLES + 1, 0, 0, 0),
        (CREDIT_SAMPLES, SECOND, 0, SECOND),
        (KEPT_SAMPLES - 10, KEPT_SAMPLES - 10, 0, 10),
        (KEPT_SAMPLES, KEPT_SAMPLES, 0, 0),
        (KEPT_SAMPLES, KEPT_SAMPLES, 5, 5),
    ],
)
def test_credit_is_bounded_by_what_is_on_its_way_and_by_what_is_kept(
    end: int, consumed: int, committed: int, room: int
) -> None:
    assert credit(end=end, consumed=consumed, committed=committed) == room


def test_pace_lets_a_burst_through_and_then_sixteen_times_real_time() -> None:
    pace = Pace(100.0)
    assert pace.delay(10.0, 100.0) == 0.0
    assert pace.delay(16.0, 100.0) == pytest.approx(1.0)
    assert pace.delay(16.0, 101.0) == pytest.approx(1.0)


def test_pace_never_delays_a_microphone() -> None:
    pace = Pace(0.0)
    assert all(pace.delay(0.1, at / 10) == 0.0 for at in range(3_000))


def test_pace_does_not_save_up_more_than_the_burst() -> None:
    pace = Pace(0.0)
    assert pace.delay(1.0, 3_600.0) == 0.0
    assert pace.delay(9.0, 3_600.0) == 0.0
    assert pace.delay(1.0, 3_600.0) > 0.0


def test_arrivals_tell_when_a_sample_came() -> None:
    arrivals = Arrivals()
    for number in range(1, 4):
        arrivals.mark(number * 100, float(number))
    assert [arrivals.at(sample) for sample in (1, 100, 101, 300, 301)] == [1.0, 1.0, 2.0, 3.0, None]
