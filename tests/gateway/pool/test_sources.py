"""What is skipped of a source is declared to the sample."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gigastt.gateway.pool.sources import START_STEP, FileSource


@given(samples=st.integers(1, 10_000), data=st.data())
def test_a_file_goes_on_right_behind_what_is_declared_lost(samples: int, data: st.DataObject) -> None:
    source = FileSource("segment", samples)
    until = data.draw(st.integers(1, samples))
    lost = source.lost_until(until)
    start = source.skip(until)
    assert start % START_STEP == 0
    assert until <= lost <= samples
    if start < source.end:
        assert start == lost
    else:  # nothing is left: all to the end is lost
        assert start == source.end
        assert lost == samples
