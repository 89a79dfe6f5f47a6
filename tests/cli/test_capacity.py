"""`gigastt capacity`: real workers and people who speak, for as short as shows anything."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from gigastt.cli.capacity import cores_for, outcome_lines
from gigastt.trial import Outcome

MIB = 2**20
OUTCOME = Outcome(
    workers=2, places=52, streams=26.4, sessions=52, finals=300, final_p95=0.431, worker_bytes=340 * MIB,
    gateway_bytes=90 * MIB,
)  # fmt: skip


def test_it_says_what_people_want_to_know() -> None:
    assert outcome_lines(OUTCOME, "gigaam-v3-e2e-rnnt, optimized", 500.0, {50: 3})[2:] == [
        "streams a core   26, each speaking half of the time",
        "places           52: what `gigastt serve --max-sessions auto` has after such a minute",
        "finals           95 % within 431 ms, of 300 with 52 people at the end",
        "memory           340 MiB for 2 workers, 90 MiB here",
        "for 50           3 cores",
    ]


@pytest.mark.parametrize(("people", "cores"), [(1, 2), (26, 2), (27, 3), (300, 13), (1000, 40)])
def test_cores_for_people_count_the_gateways_too(people: int, cores: int) -> None:
    assert cores_for(people, 26.4) == cores


@pytest.mark.e2e
def test_it_measures_this_machine() -> None:
    arguments = ["--model", "demo", "--pool-size", "1", "--seconds", "10", "--people", "7", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "gigastt", "capacity", *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    result = json.loads(done.stdout)
    assert result["model"] == "demo"
    assert result["places"] >= 1
    assert result["sessions"] >= 1
    assert result["finals"] > 0
    assert result["worker_bytes"] > 20 * MIB
    assert result["cores"].keys() == {"7"}
