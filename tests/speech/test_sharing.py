"""Which windows share a pass: on a core short ones of one length, on a card whatever fits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.speech.recognizer import MAX_WINDOW_FRAMES, ON_CARD, ON_CORE, Sharing


def choose(sharing: Sharing, frames: list[int]) -> list[int]:
    """Return the numbers of the windows that share the next pass."""
    return [number for number, _ in sharing.choose(enumerate(frames), lambda item: item[1])]


@pytest.mark.parametrize(
    ("frames", "batch"),
    [
        ([], []),
        ([100], [0]),
        ([100, 100, 100], [0, 1, 2]),
        ([160] * 6, [0, 1, 2, 3]),
        ([100, 104, 100], [0, 2]),
        ([161, 161], [0]),
        ([500, 100, 100], [0]),
    ],
)
def test_on_a_core_only_short_windows_of_one_length_share_a_pass(frames: list[int], batch: list[int]) -> None:
    assert choose(ON_CORE, frames) == batch


def test_nothing_is_read_behind_a_long_window() -> None:
    windows = iter([400, 400])

    ON_CORE.choose(windows, lambda frames: frames)

    assert len(list(windows)) == 1


@pytest.mark.parametrize(
    ("frames", "batch"),
    [
        ([500, 100, 500, 500], [0, 2, 3]),
        ([MAX_WINDOW_FRAMES] * 20, list(range(16))),
        ([100] * 40, list(range(32))),
    ],
)
def test_on_a_card_all_windows_of_one_length_share_a_pass_as_far_as_it_holds_them(
    frames: list[int], batch: list[int]
) -> None:
    assert choose(ON_CARD, frames) == batch


@given(frames=st.lists(st.integers(1, MAX_WINDOW_FRAMES), min_size=1, max_size=80))
def test_padded_windows_share_a_pass_with_those_that_are_a_quarter_longer_at_most(frames: list[int]) -> None:
    sharing = replace(ON_CARD, pads=True)
    batch = [frames[number] for number in choose(sharing, frames)]

    assert batch[0] == frames[0]
    assert max(batch) <= 1.25 * min(batch)
    assert len(batch) <= sharing.windows
    assert len(batch) * max(batch) <= sharing.width * MAX_WINDOW_FRAMES
    assert len(batch) > 1 or len([each for each in frames if each == frames[0]]) == 1
