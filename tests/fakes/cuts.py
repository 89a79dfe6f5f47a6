"""Ways of cutting a byte stream, for properties that must hold for all of them."""

from __future__ import annotations

import itertools

from hypothesis import strategies as st

cuts = st.lists(st.integers(min_value=0, max_value=10_000), max_size=20)


def cut_at(raw: bytes, places: list[int]) -> list[bytes]:
    """Cut `raw` at the given places, each taken modulo its length; pieces may be empty."""
    borders = [0, *sorted(place % (len(raw) + 1) for place in places), len(raw)]
    return [raw[begin:end] for begin, end in itertools.pairwise(borders)]
