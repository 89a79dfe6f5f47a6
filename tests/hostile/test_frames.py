"""Frames of every kind, broken and whole, bring no traceback and keep no session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from tests.hostile.frame_fuzzer import fuzz
from tests.hostile.targets import TARGETS

FRAMES = 4_000


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("seed", [1, 2])
def test_fuzzed_frames_bring_no_traceback(new_loop: Callable[[], asyncio.AbstractEventLoop], seed: int) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        findings = runner.run(fuzz(FRAMES, seed))
    assert findings.faults == []
    assert {1000, 1002, 1007} <= set(findings.closed_with)


@pytest.mark.parametrize("protocol", sorted(TARGETS.keys() - {"native"}))
def test_fuzzed_frames_of_other_protocols_bring_no_traceback(protocol: str) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        findings = runner.run(fuzz(FRAMES // 2, 3, TARGETS[protocol]))
    assert findings.faults == []
    assert (
        1002 in findings.closed_with
        or {"transcript", "error", "info"} <= set(findings.told)
        or "hang-up" in findings.told
    )
