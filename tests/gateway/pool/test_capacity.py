"""Places follow what passes cost."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gigastt.gateway.pool.capacity import MOST_STREAMS, CapacityEstimate, Talk
from gigastt.ipc.messages import PassRecord

# Of the benchmark model with the optimised encoder, on one core of Zen 4: seconds of a pass over two seconds.
TWO_SECONDS = 0.081


def timed(seconds: float, cpu_seconds: float | None = None) -> PassRecord:
    return PassRecord("final", 1, seconds, 2.0, seconds if cpu_seconds is None else cpu_seconds)


def estimate(
    seconds: float = TWO_SECONDS, promise_ms: float = 500, cpu_seconds: float | None = None
) -> CapacityEstimate:
    capacity = CapacityEstimate(promise_ms)
    capacity.begin([timed(seconds, cpu_seconds)])
    return capacity


def speak(
    capacity: CapacityEstimate,
    seconds: int,
    slowness: float = 1.0,
    *,
    stretch: float = 1.0,
    streams: int = 10,
    share: float = 0.5,
) -> None:
    """Have people speak for so long: utterances of four seconds, a pass ahead of each end, a partial a second.

    Args:
        slowness: of the processor.
        stretch: of the passes, beyond their processor time.
    """
    for _ in range(seconds // 4):
        final = PassRecord("final", 1, stretch * slowness * 0.17, 4.6, slowness * 0.17)
        partial = PassRecord("partial", 1, stretch * slowness * 0.09, 2.3, slowness * 0.09)
        capacity.record([partial, partial, partial, partial, final], Talk(4.0, 4.0 / share), 0.016 / share, streams)


def test_nothing_fits_before_anything_is_known() -> None:
    assert CapacityEstimate(500).places(4) == 0


def test_a_machine_that_is_busy_at_the_start_is_not_taken_for_a_slow_one() -> None:
    busy = CapacityEstimate(500)
    busy.begin([timed(5 * TWO_SECONDS, cpu_seconds=TWO_SECONDS), timed(9.0, cpu_seconds=1.3 * TWO_SECONDS)])
    quiet = estimate()
    assert 1 <= busy.streams < 0.5 * quiet.streams
    for capacity in (busy, quiet):
        speak(capacity, 100)
    assert busy.streams == pytest.approx(quiet.streams, rel=0.05)


@pytest.mark.parametrize("guess", [TWO_SECONDS / 8, TWO_SECONDS, 8 * TWO_SECONDS])
def test_whatever_the_start_said_two_minutes_of_load_say_the_same(guess: float) -> None:
    capacity, control = estimate(guess), estimate()
    for one in (capacity, control):
        speak(one, 600)  # ten streams, half of the time
    assert capacity.streams == pytest.approx(control.streams, rel=0.1)


def test_a_machine_that_becomes_slow_has_fewer_places_and_recovers() -> None:
    capacity = estimate()
    speak(capacity, 400)
    quick = capacity.fitting(4)
    speak(capacity, 1200, slowness=2.0)
    slow = capacity.fitting(4)
    assert slow < 0.6 * quick
    speak(capacity, 1200)
    assert capacity.fitting(4) == pytest.approx(quick, rel=0.05)


def test_neighbours_who_take_the_processor_count_for_a_minute() -> None:
    capacity = estimate()
    speak(capacity, 400)
    quick = capacity.streams
    speak(capacity, 1200, stretch=2.0)
    assert capacity.streams < 0.6 * quick
    speak(capacity, 1200)  # two minutes of ten streams each
    assert capacity.streams == pytest.approx(quick, rel=0.1)


def test_a_few_passes_that_were_stretched_do_not_stand_in_the_way_of_every_final() -> None:
    capacity, control = estimate(), estimate()
    speak(control, 600)
    for _ in range(15):
        speak(capacity, 36)
        speak(capacity, 4, stretch=5.0)
    assert 0.5 * control.streams < capacity.streams < 0.8 * control.streams


def test_a_stricter_promise_has_fewer_places() -> None:
    streams = [estimate(promise_ms=promise).streams for promise in (200, 500, 1000)]
    assert streams == sorted(streams)
    assert streams[0] < 0.8 * streams[1] < 0.8 * streams[2]


def test_a_machine_too_slow_for_the_promise_still_has_a_place_for_each_worker() -> None:
    assert estimate(seconds=3.0).places(2) == 2


def test_passes_of_uploads_change_nothing() -> None:
    capacity = estimate()
    speak(capacity, 100)
    before = capacity.streams
    capacity.record([PassRecord("file", 1, 0.8, 20.0, 0.8)] * 50, Talk(), 0.0, 10)
    assert capacity.streams == before


def test_the_gateway_has_a_bound_of_its_own() -> None:
    assert estimate(seconds=0.001).fitting(64) == MOST_STREAMS


def test_a_third_of_what_is_thought_to_fit_is_let_in_before_anybody_has_spoken() -> None:
    capacity = estimate()
    assert capacity.places(4) == capacity.fitting(4) // 3


def test_places_grow_in_steps_with_the_streams_that_were_seen_to_speak() -> None:
    capacity = estimate()
    seen = []
    while (places := capacity.places(4)) not in seen:
        seen.append(places)
        speak(capacity, 4 * places + 4, streams=places)
    assert seen[1] == pytest.approx(1.5 * seen[0], rel=0.1)
    steps = [after - before for before, after in pairwise(seen)]
    assert steps[1:] == sorted(steps[1:], reverse=True)  # smaller and smaller
    assert seen[-1] == pytest.approx(capacity.fitting(4), abs=1)
    assert len(seen) <= 10


def test_places_do_not_grow_while_finals_are_nearly_late() -> None:
    capacity = estimate()
    begin = capacity.places(4)
    for _ in range(10):
        for latency in (0.1,) * 9 + (0.45,):
            capacity.note_final(latency)
        speak(capacity, 4 * begin + 4, streams=begin)
    assert capacity.places(4) == capacity.fitting(4) // 3 >= begin
    for _ in range(20):
        capacity.note_final(0.1)
    speak(capacity, 4 * begin + 4, streams=begin)
    assert capacity.places(4) > 1.3 * begin


def test_speech_of_a_few_is_no_proof_for_many() -> None:
    capacity = estimate()
    speak(capacity, 600, streams=3)
    assert capacity.places(4) == capacity.fitting(4) // 3


def test_a_machine_that_proves_slower_than_its_start_lets_in_no_more_than_fit() -> None:
    capacity = estimate()
    most = 0
    for _ in range(100):
        places = capacity.places(1)
        most = max(most, places)
        speak(capacity, 4, slowness=2.0, streams=places)
    speak(capacity, 600, slowness=2.0)
    assert most <= capacity.fitting(1) + 3


def test_people_who_speak_all_the_time_take_the_room_of_two() -> None:
    capacity = estimate()
    speak(capacity, 600, streams=100)
    assert capacity.places(4, 40, 40) == capacity.fitting(4)
    speak(capacity, 4000, share=0.95, streams=100)
    assert capacity.places(4, 40, 40) == pytest.approx(capacity.fitting(4) - 32, abs=3)


def test_a_session_with_two_channels_takes_the_room_of_two() -> None:
    capacity = estimate()
    speak(capacity, 600, streams=100)
    assert capacity.places(4, 10, 20) == capacity.fitting(4) - 10


def note_finals(capacity: CapacityEstimate, count: int, one_late_in: int) -> None:
    for number in range(count):
        capacity.note_final(0.2 if number % one_late_in else 0.9)


def test_finals_that_come_late_shrink_what_fits_and_those_in_time_restore_it() -> None:
    capacity = estimate()
    full = capacity.fitting(4)
    note_finals(capacity, 400, one_late_in=25)
    assert capacity.fitting(4) == full
    note_finals(capacity, 80, one_late_in=10)
    assert 0.9 * full < capacity.fitting(4) < full
    note_finals(capacity, 400, one_late_in=1)
    assert 0.15 * full < capacity.fitting(4) < 0.25 * full
    for _ in range(2000):
        capacity.note_final(0.2)
    assert capacity.fitting(4) == full


def test_late_finals_of_those_who_are_there_leave_nineteen_twentieths_of_them() -> None:
    capacity = estimate()
    speak(capacity, 600, streams=24)
    for _ in range(1000):
        capacity.note_final(3.0)
    assert capacity.streams == pytest.approx(0.95 * 24, rel=0.03)
    capacity.record([], Talk(), 0.0, 10)  # some have left, and those who stay are late all the same
    for _ in range(1000):
        capacity.note_final(3.0)
    assert capacity.streams == pytest.approx(0.95 * 10, rel=0.03)


def test_work_besides_passes_counts() -> None:
    capacity, busy = estimate(), estimate()
    speak(capacity, 600)
    speak(busy, 600)
    for _ in range(400):
        busy.record([], Talk(0.0, 10.0), 0.2, 10)  # nobody speaks, and the detector takes five times as long
    assert busy.listening_cost == pytest.approx(0.02, rel=0.1)
    assert busy.streams < 0.7 * capacity.streams


@pytest.mark.slow
def test_a_day_in_which_nobody_speaks_changes_nothing() -> None:
    capacity = estimate()
    before = capacity.streams
    for _ in range(4 * 24 * 3_600):
        capacity.record([], Talk(), 0.001, 0)
    assert capacity.streams == before
