"""Whose turn it is: finals, then partials, then files, which are promised one pass in four."""

from __future__ import annotations

import itertools

import pytest

from gigastt.workers.scheduler import (
    FINALS_PER_LAGGING_FINAL,
    FIRST_COST,
    FIRST_PARTIAL_SECONDS,
    PARTIAL_SHARE,
    Scheduler,
    Turn,
)


def run(scheduler: Scheduler, count: int, *, finals: bool, partials: bool, files: bool) -> list[Turn | None]:
    """Let passes of the chosen kinds run, with the same work always waiting."""
    turns = []
    for _ in range(count):
        turn = scheduler.next_turn(finals=finals, partials=partials, files=files)
        if turn is not None:
            scheduler.record_turn(turn)
        turns.append(turn)
    return turns


@pytest.mark.parametrize(
    ("finals", "partials", "files", "turn"),
    [
        (False, False, False, None),
        (True, True, True, Turn.FINAL),
        (True, False, False, Turn.FINAL),
        (False, True, True, Turn.PARTIAL),
        (False, True, False, Turn.PARTIAL),
        (False, False, True, Turn.FILE),
    ],
)
def test_first_turn(finals: bool, partials: bool, files: bool, turn: Turn | None) -> None:
    assert Scheduler().next_turn(finals=finals, partials=partials, files=files) is turn


@pytest.mark.parametrize(("finals", "partials"), [(True, False), (False, True), (True, True)])
def test_files_get_one_pass_in_four_of_a_busy_worker(finals: bool, partials: bool) -> None:
    turns = run(Scheduler(), 40, finals=finals, partials=partials, files=True)

    assert turns.count(Turn.FILE) == 10
    assert max(len(list(group)) for turn, group in itertools.groupby(turns) if turn is Turn.FILE) == 1


def test_files_get_every_pass_of_a_worker_with_nothing_else_to_do() -> None:
    assert run(Scheduler(), 5, finals=False, partials=False, files=True) == [Turn.FILE] * 5


def test_a_long_upload_puts_a_final_off_by_one_pass_at_most() -> None:
    scheduler = Scheduler()
    run(scheduler, 100, finals=False, partials=False, files=True)

    assert run(scheduler, 1, finals=True, partials=False, files=True) == [Turn.FINAL]


def test_a_file_that_reads_silence_lets_live_work_go_first_each_time() -> None:
    scheduler = Scheduler()
    run(scheduler, 3, finals=True, partials=False, files=True)
    turns = []
    for _ in range(6):
        turn = scheduler.next_turn(finals=True, partials=False, files=True)
        turns.append(turn)
        if turn is Turn.FILE:
            scheduler.record_reading()
        else:
            scheduler.record_turn(Turn.FINAL)

    assert turns == [Turn.FILE, Turn.FINAL] * 3


def test_partials_come_every_300_ms_while_the_worker_is_idle() -> None:
    scheduler = Scheduler()
    scheduler.record_partials(windows=1, seconds=0.02)

    assert scheduler.partial_interval(speaking=1) == 0.3


def test_partials_thin_out_with_speakers_and_with_the_price_of_a_pass() -> None:
    scheduler = Scheduler()
    for _ in range(100):
        scheduler.record_partials(windows=2, seconds=0.2)

    assert scheduler.partial_interval(speaking=6) == pytest.approx(6 * 0.1 / PARTIAL_SHARE, rel=1e-3)
    assert scheduler.partial_interval(speaking=12) == pytest.approx(12 * 0.1 / PARTIAL_SHARE, rel=1e-3)


def test_a_first_word_is_looked_for_more_often_for_its_passes_are_cheap() -> None:
    scheduler = Scheduler()
    scheduler.record_partials(windows=1, seconds=0.5)

    usual, first = (scheduler.partial_interval(speaking=12, first=first) for first in (False, True))
    assert first == pytest.approx(FIRST_COST * usual)
    assert scheduler.partial_interval(speaking=1, first=True) == FIRST_PARTIAL_SECONDS


def test_streams_that_lag_have_one_final_in_four_while_others_want_any_and_all_when_none_does() -> None:
    scheduler = Scheduler()
    lags = [scheduler.next_lags(keeping_up=True, lagging=True) for _ in range(40)]
    assert lags.count(True) == 40 // (FINALS_PER_LAGGING_FINAL + 1)
    assert all(scheduler.next_lags(keeping_up=False, lagging=True) for _ in range(8))
    assert not any(scheduler.next_lags(keeping_up=True, lagging=False) for _ in range(8))
