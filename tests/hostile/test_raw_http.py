"""Raw HTTP, direct: one request, one answer, and nothing carried out that is not plainly a request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.hostile.raw_http import converse, noting, on_uvloop
from tests.hostile.raw_http_cases import CASES, Case

CUTS: dict[str, Callable[[bytes], list[bytes]]] = {
    "at once": lambda raw: [raw],
    "head and rest": lambda raw: [*raw.partition(b"\r\n\r\n")],
    "a byte a time": lambda raw: [raw[n : n + 1] for n in range(len(raw))] if len(raw) < 1000 else in_pieces(raw, 997),
    "in sevens": lambda raw: in_pieces(raw, 7) if len(raw) < 5000 else in_pieces(raw, 4097),
}


def in_pieces(raw: bytes, size: int) -> list[bytes]:
    return [raw[start : start + size] for start in range(0, len(raw), size)]


def test_there_are_enough_cases_and_each_has_its_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 120


@pytest.mark.parametrize("cut", CUTS)
@on_uvloop
async def test_every_case_is_answered_as_it_should_be(cut: str) -> None:
    wrong: list[str] = []

    async def run(case: Case) -> None:
        bench.notebook.served.clear()
        answers = await converse(bench.port, CUTS[cut](case.raw))
        statuses, served = tuple(answer.status for answer in answers), tuple(bench.notebook.served)
        expected = ("WEBSOCKET /a",) if statuses == (101,) else case.served
        if statuses not in (case.statuses, case.or_else) or served != expected:
            wrong.append(f"{case.name}: {statuses} {served}, expected {case.statuses} {case.served}")

    async with noting() as bench:
        for case in CASES:
            await asyncio.wait_for(run(case), 20)
    assert not wrong, "\n".join(wrong)
