"""The restart policy, as a table of histories."""

from __future__ import annotations

from gigastt.gateway.pool.replacing import LOOP_DEATHS, STEADY_SECONDS, RestartPolicy


def test_delay_doubles_from_a_tenth_of_a_second_to_five_while_a_worker_dies_young() -> None:
    policy = RestartPolicy(1)
    policy.ready(0, 0.0)
    delays = [policy.died(0, 0.1) for _ in range(8)]
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_delay_is_short_again_after_a_steady_life() -> None:
    policy = RestartPolicy(1)
    for _ in range(4):
        policy.ready(0, 0.0)
        policy.died(0, 0.1)
    policy.ready(0, 10.0)
    assert policy.died(0, 10.0 + STEADY_SECONDS) == 0.1


def test_kills_from_outside_never_make_the_delay_longer() -> None:
    policy = RestartPolicy(1)
    for _ in range(20):
        policy.ready(0, 0.0)
        assert policy.died(0, 0.1, killed=True) == 0.1
    assert policy.crash_loop(0.1)
    assert policy.died(0, 0.1) == 0.1  # the first death of its own


def test_kills_while_a_worker_loads_make_the_delay_longer_as_its_memory_may_be_the_reason() -> None:
    policy = RestartPolicy(1)
    policy.ready(0, 0.0)
    assert [policy.died(0, 0.1, killed=True) for _ in range(4)] == [0.1, 0.1, 0.2, 0.4]


def test_two_failures_before_anything_was_ready_end_the_boot() -> None:
    policy = RestartPolicy(2)
    policy.died(0, 0.0)
    assert not policy.boot_failed
    policy.died(1, 0.0)
    assert policy.boot_failed


def test_failures_after_the_first_ready_never_end_the_server() -> None:
    policy = RestartPolicy(2)
    policy.died(0, 0.0)
    policy.ready(1, 0.0)
    for _ in range(10):
        policy.died(0, 0.0)
    assert not policy.boot_failed


def test_a_worker_that_keeps_dying_young_is_a_crash_loop_until_it_serves_steadily() -> None:
    policy = RestartPolicy(2)
    policy.ready(1, 0.0)
    now = 0.0
    for _ in range(LOOP_DEATHS):
        policy.ready(0, now)
        now += 0.5
        policy.died(0, now)
    assert policy.crash_loop(now)
    policy.ready(0, now)
    assert policy.crash_loop(now + STEADY_SECONDS - 0.1)
    assert not policy.crash_loop(now + STEADY_SECONDS)


def test_random_kills_of_steady_workers_are_no_crash_loop() -> None:
    policy = RestartPolicy(2)
    for number in range(40):
        worker, now = number % 2, number * 2.0
        policy.ready(worker, now)
        policy.died(worker, now + STEADY_SECONDS)
        assert not policy.crash_loop(now)
