"""Owners take turns, and time left is reckoned from what was seen."""

from __future__ import annotations

from gigastt.gateway.jobs.turns import MOST_JOBS, JobPace, JobQueue, QueuedJob, order_of


def job(number: int, owner: str = "") -> QueuedJob:
    return QueuedJob(number, f"job{number}", owner, 100, 0.0)


def test_jobs_of_one_owner_run_in_the_order_in_which_they_came() -> None:
    assert [each.number for each in order_of([job(3), job(1), job(2)], [])] == [1, 2, 3]


def test_owners_take_turns() -> None:
    queued = [job(number, "much") for number in range(1, 5)] + [job(5, "little"), job(6, "little"), job(7, "third")]
    assert [each.number for each in order_of(queued, [])] == [1, 5, 7, 2, 6, 3, 4]


def test_who_has_a_job_running_comes_behind_who_has_none() -> None:
    assert [each.owner for each in order_of([job(2, "a"), job(3, "b")], [job(1, "a")])] == ["b", "a"]


def test_a_queue_knows_where_each_job_stands_and_how_much_comes_before_it() -> None:
    running: dict[str, None] = {}
    queue = JobQueue(running.keys())
    for each in (job(1, "a"), job(2, "a"), job(3, "b")):
        queue.put(each)
    assert [queue.standing(f"job{number}") for number in (1, 2, 3)] == [(1, 100), (3, 300), (2, 200)]
    running["job1"] = None
    queue.turn()
    assert [queue.standing(f"job{number}") for number in (2, 3)] == [(2, 200), (1, 100)]
    assert (queue.running, len(queue)) == (1, 3)
    queue.remove("job1")
    queue.put(QueuedJob(4, "job4", "a", 0, 0.0))
    assert [queue.standing(f"job{number}") for number in (2, 3, 4)] == [(1, 100), (2, 200), (3, 0)]


def test_a_job_that_comes_stands_where_it_would_if_all_were_put_in_order_anew() -> None:
    queue, running = JobQueue({"job0"}), [job(0, "a")]
    queue.put(running[0])
    waiting: list[QueuedJob] = []
    for number, owner in enumerate("aababccccbaaacab", start=1):
        queue.put(job(number, owner))
        waiting.append(job(number, owner))
        assert queue.order == order_of(waiting, running)


def test_a_queue_has_a_limit_and_an_owner_half_of_it() -> None:
    queue = JobQueue(())
    for number in range(MOST_JOBS // 2):
        queue.put(job(number, "much"))
    assert queue.is_full_for("much")
    assert not queue.is_full_for("little")
    assert not queue.is_full_for("")
    for number in range(MOST_JOBS // 2, MOST_JOBS):
        queue.put(job(number, f"each{number}"))
    assert queue.is_full_for("little")
    queue.remove("job0")
    assert not queue.is_full_for("little")


def test_nothing_is_said_of_the_time_left_before_anything_is_known() -> None:
    pace = JobPace()
    assert pace.left(10.0) is None
    pace.note(100.0, 10.0)
    assert pace.left(50.0) == 5.0
    assert pace.left(50.0, [1_000]) is None
    pace.note_size(2_000, 20.0)
    assert pace.left(50.0, [1_000]) == 6.0
    assert pace.left(0.0, [0]) is None
