"""The streaming state of a session: the same utterances however the audio arrives."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from gigastt.speech.activity import BLOCK_SAMPLES
from gigastt.speech.commit import Commit
from gigastt.speech.segmenter import ROOM_BLOCKS
from gigastt.speech.tokens import SUBSAMPLING, Features, Hypothesis
from tests.fakes.streams import (
    MUMBLED,
    Outcome,
    audio,
    clips,
    conversation,
    expected,
    monologue,
    open_stream,
    run,
    take_finals,
    transcribe_fake,
    without_silence,
)
from tests.properties import tries

KINDS = pytest.mark.parametrize("kind", ["conversation", "monologue"])


@KINDS
def test_material_has_several_utterances(kind: str) -> None:
    reasons = [final.reason for final in expected(kind)]
    assert ("max_duration" in reasons) == (kind == "monologue")
    assert len(reasons) >= 2


@KINDS
@pytest.mark.parametrize("piece", [1, 7, 160, 639, 640, 1_600, 48_001])
def test_utterances_do_not_depend_on_the_size_of_chunks(kind: str, piece: int) -> None:
    if piece < 160:
        samples = audio(kind)[: 3 * 16_000]
        assert run(samples, piece) == run(samples)
    else:
        assert run(audio(kind), piece) == expected(kind)


@dataclass(frozen=True)
class Turn:
    """What happens between two pushes."""

    samples: int
    final: bool
    partial: bool
    answered: bool
    alone: bool
    restart: bool


turns = st.lists(
    st.builds(
        Turn,
        samples=st.one_of(st.integers(0, 2_000), st.sampled_from([1_600, 16_000, 100_000])),
        final=st.booleans(),
        partial=st.booleans(),
        answered=st.booleans(),
        alone=st.booleans(),
        restart=st.booleans(),
    ),
    min_size=1,
    max_size=30,
).filter(lambda drawn: sum(turn.samples for turn in drawn) > 2_000 * len(drawn) ** 0.5)


@KINDS
@given(turns)
@tries(30, HealthCheck.filter_too_much)
def test_finals_do_not_depend_on_chunks_passes_or_restarts(kind: str, drawn: list[Turn]) -> None:
    samples = audio(kind)
    stream = open_stream()
    finals: list[Outcome] = []
    at = 0
    restarts = 0
    for turn in itertools.cycle(drawn):
        if at >= len(samples):
            break
        stream.push(samples[at : at + turn.samples])
        at += turn.samples
        if turn.final:
            finals += take_finals(stream)
        window = stream.next_partial() if turn.partial else None
        if window is not None and turn.answered:
            stream.accept_partial(window, transcribe_fake(window), alone=turn.alone)
        if turn.restart and restarts < 30:
            restarts += 1
            commit = stream.commit
            stream = open_stream(start=commit.offset, resume=commit.resume)
            at = commit.offset
    stream.finish()
    finals += take_finals(stream)
    assert finals == expected(kind)


@given(st.integers(0, 2_000), st.sampled_from([200, 600, 1_000, 5_000]))
@tries(25)
def test_a_fresh_stream_goes_on_from_every_commit_of_a_final(seed: int, endpoint_silence_ms: int) -> None:
    finals = expected("conversation", endpoint_silence_ms)
    number = seed % len(finals)
    commit = finals[number].commit
    stream = open_stream(start=commit.offset, resume=commit.resume, endpoint_silence_ms=endpoint_silence_ms)
    stream.push(conversation()[commit.offset :])
    if number < len(finals) - 1:
        stream.finish()
    assert take_finals(stream) == finals[number + 1 :]


def test_utterances_do_not_overlap_and_stay_under_twenty_seconds() -> None:
    for kind in ("conversation", "monologue"):
        finals = expected(kind)
        assert all(a.end <= b.start for a, b in itertools.pairwise(finals))
        assert all(final.end - final.start <= 20.0 for final in finals)


def test_what_a_forced_cut_leaves_begins_the_next_utterance() -> None:
    finals = expected("monologue")
    for before, after in itertools.pairwise(finals):
        if before.reason == "max_duration":
            assert after.start == before.end


@pytest.mark.parametrize("length", [0, 1, 159, 320, 480, 799, 640, 1_440, 3_200, 8_000])
def test_a_clip_of_any_length_ends_with_one_final(length: int) -> None:
    finals = run(clips()[0][8_000 : 8_000 + length])
    assert [final.reason for final in finals] == ["stop"]


def test_a_cut_in_a_last_block_that_is_not_full_is_the_last_one_so_that_every_commit_can_begin_a_stream() -> None:
    audio = np.concatenate([clips()[0], np.zeros(16_000, np.int16)])
    cut = run(audio, endpoint_silence_ms=200)[0]
    length = round(cut.end * 16_000) - 300
    finals = run(audio[:length], endpoint_silence_ms=200)
    end = length * 100 // 16_000 / 100
    assert [(final.text, final.end, final.reason) for final in finals] == [(cut.text, end, "stop")]
    assert cut.reason == "silence"


@pytest.mark.parametrize("trimmed", [0, 333, 5_000, 9_999])
def test_no_time_is_before_the_first_sample_or_beyond_the_last(trimmed: int) -> None:
    for clip in clips():
        audio = without_silence(clip)[: -trimmed or None]
        for final in run(audio, endpoint_silence_ms=200):
            assert 0 <= final.start <= final.end <= len(audio) / 16_000
            assert all(final.start <= word.start <= word.end <= final.end for word in final.words)


def test_speech_at_the_first_sample_is_shown_in_a_room() -> None:
    audio = without_silence(clips()[0])
    stream = open_stream()
    stream.push(audio)
    window = stream.next_partial()
    stream.finish()
    final = stream.next_final()
    assert window is not None
    assert final is not None
    for shown in (window, final.window):
        room = -shown.first_frame
        assert SUBSAMPLING <= room <= SUBSAMPLING * ROOM_BLOCKS
        assert (shown.features[:room] == shown.features[0]).all()
        assert (shown.features[room] != shown.features[0]).any()


def test_speech_with_room_before_it_is_shown_as_it_is() -> None:
    audio = np.concatenate([np.zeros(8_000, np.int16), without_silence(clips()[0])])
    stream = open_stream(partials=False)
    stream.push(audio)
    stream.finish()
    final = stream.next_final()
    assert final is not None
    assert final.window.first_frame == final.first_frame >= 0


def test_no_audio_needs_no_pass() -> None:
    stream = open_stream()
    stream.finish()
    utterance = stream.next_final()
    assert utterance is not None
    assert utterance.hypothesis == Hypothesis((), ())


def test_the_recogniser_ends_an_utterance_in_which_the_detector_hears_no_pause() -> None:
    first, second = expected("monologue")[:2]
    assert first.reason == "silence"
    assert MUMBLED.start / 100 < first.end < MUMBLED.stop / 100
    assert second.start > first.end


def test_a_checkpoint_tells_the_client_nothing() -> None:
    stream = open_stream()
    stream.push(monologue())
    checkpoint = stream.next_final()
    assert checkpoint is not None
    assert checkpoint.is_checkpoint
    before = stream.commit
    assert stream.accept_final(checkpoint, None) is None
    assert stream.commit == before


def test_a_window_at_a_checkpoint_is_short() -> None:
    stream = open_stream()
    stream.push(monologue())
    while (utterance := stream.next_final()) is not None:
        if utterance.is_checkpoint:
            assert len(utterance.window.features) <= 400
        stream.accept_final(utterance, transcribe_fake(utterance.window))


def test_silence_commits() -> None:
    stream = open_stream()
    for _ in range(100):
        stream.push(np.zeros(1_600, np.int16))
    assert stream.commit.offset >= 10 * 16_000 - 8_000
    assert stream.commit.offset % BLOCK_SAMPLES == 0
    assert len(stream.commit.resume) < 1_024


def test_a_commit_waits_for_the_finals_before_it() -> None:
    stream = open_stream()
    stream.push(conversation())
    utterance = stream.next_final()
    assert utterance is not None
    assert stream.commit.offset <= utterance.first_frame * 160
    stream.accept_final(utterance, None)
    assert stream.commit == utterance.commit


def test_bytes_that_are_no_resume_state_are_refused() -> None:
    stream = open_stream()
    stream.push(conversation()[:50_000])
    commit = stream.commit
    for resume in (b"x", commit.resume[:-1], commit.resume + b"x", b"gs\x00" + commit.resume[3:]):
        with pytest.raises(ValueError, match="Expected"):
            open_stream(start=commit.offset, resume=resume)
    with pytest.raises(ValueError, match="Expected"):
        open_stream(start=commit.offset + BLOCK_SAMPLES, resume=commit.resume)


@cache
def early_commit() -> Commit:
    stream = open_stream()
    stream.push(conversation()[:30_000])
    return stream.commit


@given(st.binary(max_size=1_200), st.integers(0, 1_200))
@tries(200)
def test_a_damaged_resume_state_is_refused_or_harmless(noise: bytes, place: int) -> None:
    commit = early_commit()
    damaged = (commit.resume[:place] + noise)[: len(commit.resume)] + commit.resume[place + len(noise) :]
    try:
        resumed = open_stream(start=commit.offset, resume=damaged)
    except ValueError:
        return
    resumed.push(conversation()[commit.offset : commit.offset + 30_000])


def test_the_speculative_final_is_used_when_it_ran_alone() -> None:
    for alone in (True, False):
        stream = open_stream()
        samples = conversation()
        known = 0
        for begin in range(0, len(samples), 1_600):
            stream.push(samples[begin : begin + 1_600])
            window = stream.next_partial()
            if window is not None:
                stream.accept_partial(window, transcribe_fake(window), alone=alone)
            utterance = stream.next_final()
            if utterance is not None:
                known += utterance.hypothesis is not None
                stream.accept_final(utterance, transcribe_fake(utterance.window))
        assert (known > 0) == alone


def test_a_stale_partial_is_dropped() -> None:
    stream = open_stream()
    samples = conversation()
    begin = 0
    while (window := stream.next_partial()) is None:
        stream.push(samples[begin : begin + 1_600])
        begin += 1_600
    stream.finish()
    assert stream.accept_partial(window, transcribe_fake(window), alone=True) is None


def test_nothing_is_offered_twice() -> None:
    stream = open_stream()
    stream.push(conversation()[:24_000])
    first = stream.next_partial()
    assert first is not None
    assert stream.next_partial() is None


def test_features_of_finished_utterances_are_dropped() -> None:
    stream = open_stream()
    stream.push(conversation())
    take_finals(stream)
    stream.push(np.zeros(32_000, np.int16))
    take_finals(stream)
    held: Features = stream._analysis.features._rows
    assert held.nbytes < 40_000
