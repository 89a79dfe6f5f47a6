"""Signs of life: who hangs, who works hard, who is starved."""

from __future__ import annotations

import pytest

from gigastt.gateway.vitals import DEFAULT_ALLOWANCE, LEAST_ALLOWANCE, MOST_ALLOWANCE, ProcessState, Vitals
from gigastt.ipc.messages import PassRecord


def watch(vitals: Vitals, letter: str, cpu_per_second: float, seconds: float) -> float | None:
    """Judge every 0.2 s of a silence; return when the verdict was no longer `alive`."""
    now = 0.0
    while now < seconds:
        if vitals.judge(ProcessState(letter, now * cpu_per_second), now) != "alive":
            return now
        now += 0.2
    return None


def learned(rate: float) -> Vitals:
    vitals = Vitals(0.0)
    vitals.passes([PassRecord("final", 1, rate * 10, 10.0)])
    return vitals


@pytest.mark.parametrize(
    ("vitals", "letter", "cpu", "detected_by"),
    [
        pytest.param(learned(0.03), "T", 0.0, 2.0, id="stopped"),
        pytest.param(learned(0.03), "S", 0.0, 2.0, id="deadlocked"),
        pytest.param(learned(0.03), "R", 1.0, 2.0, id="spinning, int8"),
        pytest.param(learned(0.12), "R", 1.0, 5.2, id="spinning, fp32"),
        pytest.param(Vitals(0.0), "R", 1.0, 5.4, id="spinning, before any pass was seen"),
        pytest.param(learned(0.03), "R", 0.05, None, id="starved"),
        pytest.param(learned(0.03), "D", 0.0, None, id="waiting for the disk"),
        pytest.param(learned(0.2), "R", 1.0, None, id="inside a long pass of a slow model"),
    ],
)
def test_silence_is_judged_by_what_the_process_does(
    vitals: Vitals, letter: str, cpu: float, detected_by: float | None
) -> None:
    found = watch(vitals, letter, cpu, seconds=6.0)
    assert (found is None) if detected_by is None else (found is not None and found <= detected_by)


def test_whoever_is_heard_is_alive() -> None:
    vitals = learned(0.03)
    for number in range(100):
        now = number * 0.5
        vitals.heard(now)
        assert vitals.judge(ProcessState("S", now), now) == "alive"


def test_a_late_gateway_excuses_the_silence() -> None:
    vitals = learned(0.03)
    vitals.judge(ProcessState("S", 0.0), 0.0)
    vitals.excuse(3.0)
    assert vitals.judge(ProcessState("S", 0.0), 3.2) == "alive"


def test_allowance_follows_the_recent_passes_within_bounds() -> None:
    vitals = Vitals(0.0)
    assert vitals.allowance == DEFAULT_ALLOWANCE
    vitals.passes([PassRecord("partial", 1, 1.0, 0.5)])  # too short to tell
    assert vitals.allowance == DEFAULT_ALLOWANCE
    vitals.passes([PassRecord("final", 1, 20.0, 10.0)])
    assert vitals.allowance == MOST_ALLOWANCE
    vitals.passes([PassRecord("final", 1, 0.01, 10.0)] * 40)
    assert vitals.allowance == LEAST_ALLOWANCE
