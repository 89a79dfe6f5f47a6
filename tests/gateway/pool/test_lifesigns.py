"""Signs of life: who hangs, who works hard, who is starved."""

from __future__ import annotations

import pytest

from gigastt.gateway.pool.lifesigns import LEAST_ALLOWANCE, SILENCE_SECONDS, ProcessState, Vitals
from gigastt.ipc.messages import PassRecord


def watch(vitals: Vitals, letter: str, cpu_per_second: float, seconds: float, *, in_pass: bool = True) -> float | None:
    """Judge every 0.2 s of a silence; return when the verdict was no longer `alive`."""
    now = 0.0
    while now < seconds:
        if vitals.judge(ProcessState(letter, now * cpu_per_second), now, in_pass=in_pass) != "alive":
            return now
        now += 0.2
    return None


def learned(rate: float) -> Vitals:
    return Vitals(0.0, [PassRecord("final", 1, rate * 10, 10.0, rate * 10)])


@pytest.mark.parametrize(
    ("vitals", "letter", "cpu", "detected_by"),
    [
        pytest.param(learned(0.03), "T", 0.0, 2.0, id="stopped"),
        pytest.param(learned(0.01), "S", 0.0, 2.0, id="deadlocked"),
        pytest.param(learned(0.03), "R", 1.0, 2.0, id="spinning, int8"),
        pytest.param(learned(0.12), "R", 1.0, 5.2, id="spinning, fp32"),
        pytest.param(learned(0.03), "R", 0.05, None, id="starved"),
        pytest.param(learned(0.03), "D", 0.0, None, id="waiting for the disk"),
        pytest.param(learned(0.2), "R", 1.0, None, id="inside a long pass of a slow model"),
        pytest.param(learned(2.0), "R", 1.0, None, id="inside a long pass of a very slow machine"),
        pytest.param(learned(0.2), "S", 0.0, None, id="waiting for an accelerator inside a pass"),
    ],
)
def test_silence_is_judged_by_what_the_process_does(
    vitals: Vitals, letter: str, cpu: float, detected_by: float | None
) -> None:
    found = watch(vitals, letter, cpu, seconds=6.0)
    assert (found is None) if detected_by is None else (found is not None and found <= detected_by)


def test_a_worker_that_sleeps_between_two_pieces_of_work_hangs() -> None:
    found = watch(learned(0.2), "S", 0.0, seconds=6.0, in_pass=False)
    assert found is not None
    assert found <= SILENCE_SECONDS + 0.2


def test_whoever_is_heard_is_alive() -> None:
    vitals = learned(0.03)
    for number in range(100):
        now = number * 0.5
        vitals.heard(now)
        assert vitals.judge(ProcessState("S", now), now, in_pass=False) == "alive"


def test_a_late_gateway_excuses_the_silence() -> None:
    vitals = learned(0.03)
    vitals.judge(ProcessState("S", 0.0), 0.0, in_pass=False)
    vitals.excuse(3.0)
    assert vitals.judge(ProcessState("S", 0.0), 3.2, in_pass=False) == "alive"


def test_one_pass_that_took_long_by_the_clock_buys_no_patience() -> None:
    vitals = learned(0.01)
    vitals.passes([PassRecord("final", 1, 0.02, 2.0, 0.02), PassRecord("final", 1, 60.0, 2.0, 0.02)])
    assert vitals.patience == SILENCE_SECONDS


def test_allowance_follows_the_recent_passes_from_those_timed_at_the_start() -> None:
    vitals = Vitals(0.0, [PassRecord("final", 1, 9.0, 2.0, 0.5)])
    assert vitals.allowance == pytest.approx(2 * 0.25 * 20.5)
    vitals.passes([PassRecord("partial", 1, 9.0, 0.5, 9.0)])  # too short to tell
    assert vitals.allowance == pytest.approx(2 * 0.25 * 20.5)
    vitals.passes([PassRecord("final", 1, 20.0, 10.0, 20.0)])
    assert vitals.allowance == pytest.approx(2 * 2.0 * 20.5)
    vitals.passes([PassRecord("final", 1, 0.01, 10.0, 0.01)] * 40)
    assert vitals.allowance == LEAST_ALLOWANCE


def test_a_pass_may_take_as_long_as_all_the_windows_that_it_may_hold() -> None:
    timed = [PassRecord("final", 1, 0.2, 2.0, 0.2)]
    one, sixteen = Vitals(0.0, timed), Vitals(0.0, timed, width=16)
    assert sixteen.allowance == pytest.approx(16 * one.allowance)
    assert sixteen.patience == pytest.approx(16 * one.patience)
