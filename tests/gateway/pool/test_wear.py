"""When a worker has done enough."""

from __future__ import annotations

from gigastt.gateway.pool.replacing import LEAST_SECONDS, Endurance, Wear
from gigastt.ipc.messages import PassRecord, Stats

PASS = PassRecord("final", 1, 0.1, 1.0, 0.1)


def worn(*, memory: int = 0, passes: int = 0) -> Wear:
    wear = Wear(since=100.0)
    wear.record(Stats(1, 0.0, memory, [PASS] * passes))
    return wear


def test_without_limits_a_worker_lives_for_ever() -> None:
    assert worn(memory=1 << 40, passes=10_000).exceeds(Endurance(), 1e9) is None


def test_passes_are_counted_over_a_life() -> None:
    wear = worn(passes=4)
    wear.record(Stats(1, 0.0, 0, [PASS]))
    assert wear.exceeds(Endurance(passes=6), 100.0) is None
    assert wear.exceeds(Endurance(passes=5), 100.0) == "passes"


def test_one_that_is_too_large_from_the_start_is_not_replaced_for_ever() -> None:
    wear = worn(memory=2_000)
    assert wear.exceeds(Endurance(memory_bytes=1_000), 100.0) is None
    assert wear.exceeds(Endurance(memory_bytes=1_000), 100.0 + LEAST_SECONDS) == "memory"
    assert wear.exceeds(Endurance(memory_bytes=3_000), 100.0 + LEAST_SECONDS) is None
