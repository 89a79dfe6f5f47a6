"""The segmenter: a table of levels and the cuts they make."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.speech.segmenter import (
    LEAD_BLOCKS,
    MAX_BLOCKS,
    PRE_ROLL_BLOCKS,
    SHORTEST_FORCED_BLOCKS,
    TAIL_BLOCKS,
    Cut,
    Segmenter,
    best_pause,
)

LOUD, FAINT, QUIET = 250, 70, 0  # speech; speech only where there was some; not speech
ENDPOINT_BLOCKS = 15  # 600 ms

levels = st.lists(
    st.tuples(st.sampled_from([LOUD, FAINT, QUIET, 101, 102, 50, 51]), st.integers(1, 120)), max_size=30
).map(lambda spans: [level for level, count in spans for _ in range(count)])


def run(blocks: list[int], endpoint_silence_ms: int = 600) -> list[Cut]:
    segmenter = Segmenter(endpoint_silence_ms)
    cuts = [cut for level in blocks if (cut := segmenter.push(level)) is not None]
    return [*cuts, segmenter.finish()]


def test_speech_is_cut_with_pre_roll_and_tail() -> None:
    cuts = run([QUIET] * 50 + [LOUD] * 20 + [QUIET] * 30)
    assert cuts[0] == Cut(50 - PRE_ROLL_BLOCKS, 70 + TAIL_BLOCKS, 0, "silence")
    assert cuts[1] == Cut(100, 100, 0, "stop")


@pytest.mark.parametrize(("endpoint_silence_ms", "blocks"), [(200, 5), (600, 15), (1_000, 25), (5_000, 125)])
def test_the_cut_is_made_after_the_endpoint_silence(endpoint_silence_ms: int, blocks: int) -> None:
    segmenter = Segmenter(endpoint_silence_ms)
    for level in [LOUD] * 10 + [QUIET] * (blocks - 1):
        assert segmenter.push(level) is None
    assert segmenter.push(QUIET) is not None


def test_a_short_endpoint_leaves_a_tail_to_be_padded() -> None:
    cut = run([LOUD] * 10 + [QUIET] * 5, 200)[0]
    assert (cut.last, cut.padding) == (15, TAIL_BLOCKS - 5)


def test_a_pause_shorter_than_the_endpoint_does_not_cut() -> None:
    cuts = run(([LOUD] * 10 + [QUIET] * (ENDPOINT_BLOCKS - 1)) * 3)
    assert [cut.reason for cut in cuts] == ["stop"]


def test_faint_levels_go_on_with_speech_but_do_not_begin_it() -> None:
    assert run([FAINT] * 100) == [Cut(100, 100, 0, "stop")]
    assert len(run([LOUD] + [FAINT] * 100)) == 1


def test_an_onset_soon_after_the_start_reaches_back_to_it() -> None:
    assert run([QUIET] * (LEAD_BLOCKS - 1) + [LOUD] * 5)[0].first == 0
    assert run([QUIET] * LEAD_BLOCKS + [LOUD] * 5)[0].first == LEAD_BLOCKS - PRE_ROLL_BLOCKS


def test_pre_roll_does_not_reach_into_the_utterance_before() -> None:
    first, second, _ = run([LOUD] * 5 + [QUIET] * ENDPOINT_BLOCKS + [LOUD] * 5 + [QUIET] * ENDPOINT_BLOCKS)
    assert first.last == 5 + TAIL_BLOCKS
    assert second.first == max(first.last, 5 + ENDPOINT_BLOCKS - PRE_ROLL_BLOCKS)


def test_a_long_utterance_is_cut_amid_its_deepest_pause() -> None:
    speech = [LOUD] * MAX_BLOCKS
    for place, length in ((260, 3), (330, 7), (420, 2)):
        speech[place : place + length] = [QUIET] * length
    cuts = run(speech + [LOUD] * 50)
    assert cuts[0].reason == "max_duration"
    assert 330 < cuts[0].last < 337
    assert cuts[1] == Cut(cuts[0].last, 550, TAIL_BLOCKS, "stop")


def test_of_equal_pauses_the_latest_is_taken() -> None:
    assert best_pause(bytes([LOUD] * MAX_BLOCKS)) == MAX_BLOCKS - 3


def test_silence_after_a_forced_cut_is_no_utterance() -> None:
    cuts = run([LOUD] * 400 + [QUIET] * 300, 5_000)
    assert [cut.reason for cut in cuts] == ["max_duration", "stop"]
    assert cuts[1].first == cuts[1].last


@given(levels, st.sampled_from([200, 600, 5_000]))
def test_cuts_follow_each_other_and_are_short_enough(blocks: list[int], endpoint_silence_ms: int) -> None:
    cuts = run(blocks, endpoint_silence_ms)
    assert all(before.last <= after.first for before, after in itertools.pairwise(cuts))
    assert all(cut.last - cut.first <= MAX_BLOCKS for cut in cuts)
    forced = [cut for cut in cuts if cut.reason == "max_duration"]
    assert all(cut.last - cut.first >= SHORTEST_FORCED_BLOCKS for cut in forced)
    assert [cut.reason for cut in cuts].count("stop") == 1


@given(levels)
def test_every_loud_block_is_in_an_utterance(blocks: list[int]) -> None:
    covered = {block for cut in run(blocks) for block in range(cut.first, cut.last)}
    assert {number for number, level in enumerate(blocks) if level == LOUD} <= covered


@given(levels, st.integers(0, 2_000))
def test_a_state_set_again_continues_exactly(blocks: list[int], place: int) -> None:
    at = place % (len(blocks) + 1)
    first, second = Segmenter(600), Segmenter(600)
    for level in blocks[:at]:
        first.push(level)
    second.set_state(first.get_state())
    assert second.needed_from == first.needed_from
    for level in blocks[at:]:
        assert second.push(level) == first.push(level)
    assert second.finish() == first.finish()


@given(st.binary(max_size=120))
def test_bytes_that_are_no_state_are_refused(state: bytes) -> None:
    with pytest.raises(ValueError, match="Expected"):
        Segmenter(600).set_state(state + b"\xff" * 8)
