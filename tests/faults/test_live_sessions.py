"""Live sessions of the shipped server amid faults, against control runs: the short form of `benchmarks.faults`."""

from __future__ import annotations

import pytest

from benchmarks.faults.__main__ import failed, parse, run

pytestmark = pytest.mark.e2e


async def test_nothing_is_lost_over_a_bad_line_with_killed_workers_and_a_replaced_server() -> None:
    """Without resumption, replay or the state in tokens the words differ: see `tools/guards.py`, 1, 2 and 11."""
    counts = {"streams": 4, "seconds": 16, "speed": 2, "control-speed": 8, "faults": 10, "kills": 5, "replacements": 1}
    found = await run(parse([f"--{name}={count}" for name, count in counts.items()]))
    assert not failed(found), found
    assert found["done"]["replaced"] == 1
    assert found["done"]["killed"] >= 4
    assert found["connections"]["resumed"] >= 4  # all four went to the other server, at least
    assert "begun anew" not in found["connections"]
    assert found["words"] > 30
