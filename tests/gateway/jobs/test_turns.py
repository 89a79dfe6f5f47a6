"""Owners take turns, and time left is reckoned from what was seen."""

from __future__ import annotations

from gigastt.gateway.jobs.turns import JobPace, QueuedJob, order_of


def job(number: int, owner: str = "") -> QueuedJob:
    return QueuedJob(number, f"job{number}", owner, 100, 0.0)


def test_jobs_of_one_owner_run_in_the_order_in_which_they_came() -> None:
    assert [each.number for each in order_of([job(3), job(1), job(2)], [])] == [1, 2, 3]


def test_owners_take_turns() -> None:
    queued = [job(number, "much") for number in range(1, 5)] + [job(5, "little"), job(6, "little"), job(7, "third")]
    assert [each.number for each in order_of(queued, [])] == [1, 5, 7, 2, 6, 3, 4]


def test_who_has_a_job_running_comes_behind_who_has_none() -> None:
    assert [each.owner for each in order_of([job(2, "a"), job(3, "b")], [job(1, "a")])] == ["b", "a"]


def test_nothing_is_said_of_the_time_left_before_anything_is_known() -> None:
    pace = JobPace()
    assert pace.left(10.0) is None
    pace.note(100.0, 10.0)
    assert pace.left(50.0) == 5.0
    assert pace.left(50.0, [1_000]) is None
    pace.note_size(2_000, 20.0)
    assert pace.left(50.0, [1_000]) == 6.0
    assert pace.left(0.0, [0]) is None
