"""Places in a rush, with the lengths of passes that a worker had on a machine full of neighbours."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from gigastt.gateway.pool.capacity import CapacityEstimate
from gigastt.ipc.messages import PassRecord
from tests.gateway.pool.rush import Neighbours, Outcome, rush

RECORD = Path(__file__).with_name("passes_amid_neighbours.json")
PROMISE = 0.5
STARTS = 10


def start(neighbours: Neighbours, number: int) -> Outcome:
    """Have ten times the people come who fit; every second start falls into a busy moment."""
    capacity = CapacityEstimate(1000 * PROMISE)
    cpu = 0.081
    capacity.begin([PassRecord("final", 1, cpu * (3.0 if number % 2 else 1.0), 2.0, cpu)])
    return rush(capacity, neighbours, number * 7.3, number, clients=240)


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    rows = json.loads(RECORD.read_text(encoding="utf-8"))
    neighbours = Neighbours([at for at, _ in rows], [stretch for _, stretch in rows])
    return [start(neighbours, number) for number in range(STARTS)]


def test_ten_starts_amid_neighbours_end_within_a_fifth_of_each_other(outcomes: list[Outcome]) -> None:
    ends = [outcome.places[-1] for outcome in outcomes]
    assert max(ends) <= 1.2 * min(ends), ends


def test_places_stay_near_those_who_were_let_in(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        half = len(outcome.places) // 2
        assert min(outcome.places[half:]) >= 0.7 * outcome.streams[-1], outcome.places[half:]


def test_finals_of_those_who_were_let_in_come_in_time(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        late = statistics.quantiles([latency for _, latency in outcome.latencies], n=20)[-1]
        assert late <= 1.5 * PROMISE


def test_a_machine_to_itself_carries_as_many_at_every_start() -> None:
    alone = Neighbours([0.0, 1.0], [1.0, 1.0])
    ends = [start(alone, number).places[-1] for number in range(STARTS)]
    assert max(ends) <= 1.2 * min(ends), ends
    assert min(ends) >= 20
