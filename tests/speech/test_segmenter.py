"""The segmenter: a table of levels and the cuts they make."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.speech.segmenter import (
    BREATH_BLOCKS,
    CHECK_BLOCKS,
    DENSE_BLOCKS,
    LAST_WORD_BLOCKS,
    LEAD_BLOCKS,
    MAX_BLOCKS,
    PRE_ROLL_BLOCKS,
    ROOM_BLOCKS,
    SHORTEST_FORCED_BLOCKS,
    TAIL_BLOCKS,
    Activity,
    Cut,
    Reason,
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
    cuts: list[Cut] = []
    for level in blocks:
        cut = segmenter.push(level)
        if segmenter.check_from is not None:
            assert cut is None
            cut = segmenter.accept_check(segmenter.position)  # somebody speaks
        cuts += [cut] if cut is not None else []
    return [*cuts, segmenter.finish()]


def speak_densely(segmenter: Segmenter, blocks: int) -> list[int]:
    """Push speech without a breath; return where the recogniser was asked."""
    asked = []
    for _ in range(blocks):
        segmenter.push(LOUD)
        if segmenter.check_from is not None:
            asked.append(segmenter.position)
            segmenter.accept_check(segmenter.position)
    return asked


def sure(first: int, last: int, padding: int, reason: Reason, lead: int = 0, *, is_early: bool = False) -> Cut:
    """A cut of an utterance that is `LOUD` from its onset to its end."""
    return Cut(first, last, padding, reason, Activity(LOUD / 255, LOUD, is_early), lead)


def nothing(at: int) -> Cut:
    return Cut(at, at, 0, "stop", Activity(0.0, 0))


def test_speech_is_cut_with_pre_roll_and_tail() -> None:
    cuts = run([QUIET] * 50 + [LOUD] * 20 + [QUIET] * 30)
    assert cuts[0] == sure(50 - PRE_ROLL_BLOCKS, 70 + TAIL_BLOCKS, 0, "silence")
    assert cuts[1] == nothing(100)


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
    assert run([FAINT] * 100) == [nothing(100)]
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
    assert (cuts[1].first, cuts[1].last, cuts[1].padding, cuts[1].reason) == (cuts[0].last, 550, TAIL_BLOCKS, "stop")


def test_of_equal_pauses_the_latest_is_taken() -> None:
    assert best_pause(bytes([LOUD] * MAX_BLOCKS)) == MAX_BLOCKS - 3


def test_silence_after_a_forced_cut_is_no_utterance() -> None:
    cuts = run([LOUD] * 400 + [QUIET] * 300, 5_000)
    assert [cut.reason for cut in cuts] == ["max_duration", "stop"]
    assert cuts[1].first == cuts[1].last


def test_an_utterance_that_never_rises_far_is_not_speech() -> None:
    faint, mixed, _ = run(([QUIET] * 40 + [150] * 10 + [QUIET] * 30) + ([150] * 5 + [LOUD] * 5 + [QUIET] * 30))
    assert faint.activity == Activity(150 / 255, 150)
    assert not faint.activity.is_speech
    assert mixed.activity == Activity(200 / 255, LOUD)


def test_an_utterance_that_is_loud_only_at_times_is_not_clear() -> None:
    doubtful, clear, _ = run([100, *([LOUD, QUIET, QUIET] * 10), *[QUIET] * 40] + [255] * 20 + [QUIET] * 30)
    assert doubtful.activity.is_speech
    assert not doubtful.activity.is_clear
    assert clear.activity.is_clear


def test_an_utterance_that_nowhere_sounds_like_speech_alone_is_not_clear() -> None:
    doubtful, clear, _ = run([QUIET] * 40 + [240] * 20 + [QUIET] * 40 + [240] * 20 + [255] + [QUIET] * 30)
    assert doubtful.activity.is_speech
    assert not doubtful.activity.is_clear
    assert clear.activity.is_clear


def test_in_the_first_second_the_detector_need_not_be_as_sure() -> None:
    early, later, _ = run(([QUIET] * 10 + [210] * 10 + [QUIET] * 30) * 2)
    assert early.activity.is_clear
    assert not later.activity.is_clear


def test_the_recogniser_is_asked_only_after_long_speech_without_a_breath() -> None:
    assert speak_densely(Segmenter(600), 299) == [
        DENSE_BLOCKS,
        DENSE_BLOCKS + CHECK_BLOCKS,
        DENSE_BLOCKS + 2 * CHECK_BLOCKS,
    ]
    breathing = Segmenter(600)
    for level in ([LOUD] * 100 + [QUIET] * BREATH_BLOCKS) * 3:
        breathing.push(level)
        assert breathing.check_from is None


def asked(endpoint_silence_ms: int = 600) -> Segmenter:
    segmenter = Segmenter(endpoint_silence_ms)
    for _ in range(DENSE_BLOCKS):
        segmenter.push(LOUD)
    return segmenter


def test_a_long_silence_of_the_recogniser_ends_the_utterance() -> None:
    segmenter = asked()
    assert segmenter.check_from == DENSE_BLOCKS - 15 - 10 - 75
    assert segmenter.accept_check(DENSE_BLOCKS - 25) == sure(
        0, DENSE_BLOCKS - 25 + LAST_WORD_BLOCKS, 0, "silence", ROOM_BLOCKS, is_early=True
    )
    assert not segmenter.is_open


def test_a_short_silence_of_the_recogniser_is_asked_about_when_it_would_be_long_enough() -> None:
    segmenter = asked()
    assert segmenter.accept_check(DENSE_BLOCKS - 15) is None
    for _ in range(10):
        assert segmenter.check_from is None
        segmenter.push(LOUD)
    assert segmenter.check_from is not None


def test_without_any_word_the_utterance_ends_and_the_next_begins_with_its_pre_roll() -> None:
    segmenter = asked()
    assert segmenter.accept_check(None) == sure(
        0, DENSE_BLOCKS - PRE_ROLL_BLOCKS, 0, "silence", ROOM_BLOCKS, is_early=True
    )
    segmenter.push(LOUD)
    assert segmenter.needed_from == DENSE_BLOCKS - PRE_ROLL_BLOCKS


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
        if first.check_from is not None:
            first.accept_check(first.position)
    second.set_state(first.get_state())
    assert second.needed_from == first.needed_from
    for level in blocks[at:]:
        assert second.push(level) == first.push(level)
        assert second.check_from == first.check_from
        if first.check_from is not None:
            assert second.accept_check(None) == first.accept_check(None)
    assert second.finish() == first.finish()


@given(st.binary(max_size=120))
def test_bytes_that_are_no_state_are_refused(state: bytes) -> None:
    with pytest.raises(ValueError, match="Expected"):
        Segmenter(600).set_state(state + b"\xff" * 8)
