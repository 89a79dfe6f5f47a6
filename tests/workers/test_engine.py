"""The engine: what a stream is sent, in which order work is done, and what a failure costs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.audio.pcm import Samples
from gigastt.errors import ProtocolViolation
from gigastt.ipc.messages import Audio, Cancel, Closed, Failed, FinalMessage, Finish, Progress, StreamId
from gigastt.transcript import Gap
from tests.fakes.cuts import cut_at
from tests.fakes.engine_bench import PITCHES, Bench, endpoint, speech
from tests.fakes.recognizer import POISON_HZ, same_word, silence, tone
from tests.properties import tries

_TALK = np.concatenate([speech(PITCHES[:3]), endpoint(), speech(PITCHES[3:5]), endpoint(), speech(PITCHES[5:])])


def finals_of(bench: Bench, stream: StreamId) -> list[tuple[str, float, float, str]]:
    finals = [message.final for message in bench.sent(FinalMessage, stream)]
    return [(final.text, final.start, final.end, final.reason) for final in finals]


def transcribe(samples: Samples) -> list[tuple[str, float, float, str]]:
    bench = Bench()
    stream = bench.open(1)
    bench.send(stream, samples)
    bench.finish(stream)
    bench.run()
    return finals_of(bench, stream)


def test_a_live_stream_gives_partials_then_its_final_then_its_end() -> None:
    bench = Bench()
    stream = bench.open(1)
    for pitch in PITCHES[:3]:
        bench.send(stream, tone(pitch, 0.3), silence(0.2))
        bench.run()
        bench.now += 0.5
    bench.send(stream, endpoint())
    bench.run()
    bench.finish(stream)
    bench.run()

    words = [text.split() for text in bench.partial_texts(stream)]
    assert [len(each) for each in words] == [1, 2, 3, 3]  # the last one says that all of them are settled
    assert all(same_word(word, pitch) for word, pitch in zip(words[-1], PITCHES, strict=False))
    assert bench.texts(stream) == [" ".join(words[-1])]
    assert [reason for *_, reason in finals_of(bench, stream)] == ["silence", "stop"]
    assert bench.messages[-1] == Closed(stream)
    assert bench.engine.streams == 0


@given(cut=st.lists(st.integers(0, len(_TALK)), max_size=30), pause=st.sampled_from([0.0, 0.1, 1.0]))
@tries(25)
def test_finals_do_not_depend_on_packets_or_on_the_passes_between_them(cut: list[int], pause: float) -> None:
    bench = Bench()
    stream = bench.open(1)
    for piece in cut_at(_TALK.tobytes(), [2 * place for place in cut]):
        bench.engine.handle(Audio(stream, piece))
        bench.run()
        bench.now += pause
    bench.finish(stream)
    bench.run()

    assert finals_of(bench, stream) == transcribe(_TALK)


def test_a_file_gives_the_same_finals_as_a_live_stream() -> None:
    bench = Bench()
    stream = bench.attach(1, _TALK)
    bench.run()

    assert finals_of(bench, stream) == transcribe(_TALK)
    assert bench.messages[-1] == Closed(stream)
    assert {record.kind for record in bench.passes} == {"file"}


def test_streams_that_are_not_known_are_ignored() -> None:
    bench = Bench()
    for message in (Audio(StreamId(9), bytes(640)), Finish(StreamId(9)), Cancel(StreamId(9))):
        bench.engine.handle(message)

    assert bench.engine.collect() == []
    assert bench.engine.wait_seconds(0.0) is None


def test_a_cancelled_stream_is_forgotten_before_its_pass() -> None:
    bench = Bench()
    stream = bench.open(1)
    bench.send(stream, speech(PITCHES), endpoint())
    bench.messages.clear()

    bench.engine.handle(Cancel(stream))
    bench.run()

    assert bench.messages == []
    assert bench.passes == []
    assert bench.engine.streams == 0


def test_a_cancelled_file_is_forgotten() -> None:
    bench = Bench()
    stream = bench.attach(1, _TALK)

    bench.engine.handle(Cancel(stream))

    assert bench.engine.wait_seconds(bench.now) is None
    assert bench.engine.streams == 0


def test_half_a_sample_breaks_the_protocol() -> None:
    bench = Bench()
    stream = bench.open(1)

    with pytest.raises(ProtocolViolation, match="whole samples"):
        bench.engine.handle(Audio(stream, b"\0\0\0"))


# -- progress and commits


def test_progress_says_what_was_analysed_and_carries_a_state_only_when_the_commit_moves() -> None:
    bench = Bench()
    stream = bench.open(1)
    for _ in range(100):
        bench.send(stream, silence(0.1))

    progress = bench.sent(Progress, stream)
    assert progress[-1].consumed > 16_000 * 9.5
    assert progress[-1].committed > 16_000 * 5  # silence commits
    moved = [now for before, now in itertools.pairwise(progress) if now.committed > before.committed]
    assert moved
    assert all(each.resume for each in moved)
    assert len([each for each in progress if each.resume]) == len(moved) <= 20


def test_progress_of_many_streams_comes_together() -> None:
    bench = Bench()
    streams = [bench.open(number) for number in range(1, 9)]
    told: list[int] = []
    for _ in range(50):
        for stream in streams:  # one after the other, as their packets come
            bench.messages.clear()
            bench.send(stream, silence(0.1))
            told.append(len(bench.sent(Progress)))

    assert sum(told) >= 8 * 8
    assert sum(count > 0 for count in told) <= 20  # of 80 that tell their own, and once each when a beginning is over


def test_audio_behind_an_utterance_that_waits_is_not_consumed() -> None:
    bench = Bench()
    stream = bench.open(1)
    utterance = np.concatenate((speech(PITCHES[:2]), endpoint()))
    bench.send(stream, utterance)
    waiting = bench.sent(Progress, stream)[-1].consumed
    bench.send(stream, silence(5.0))

    assert bench.sent(Progress, stream)[-1].consumed == waiting <= len(utterance)
    bench.run()
    assert bench.sent(Progress, stream)[-1].consumed > len(utterance) + 4.9 * 16_000


@pytest.mark.parametrize("samples", [0, 1, 639, 640, 641, 7_001, 41_203, len(_TALK)])
def test_no_more_is_committed_than_consumed_nor_consumed_than_sent(samples: int) -> None:
    bench = Bench()
    streams = [bench.open(1), bench.attach(2, _TALK[:samples])]
    bench.send(streams[0], _TALK[:samples])
    bench.finish(streams[0])
    bench.run()

    for stream in streams:
        told = [m for m in bench.messages if isinstance(m, Progress | FinalMessage) and m.stream == stream]
        assert all(message.committed <= message.consumed <= samples for message in told)
        assert told[-1].consumed == samples
        assert [m.committed for m in told] == sorted(m.committed for m in told)
        # The last message ends the stream; after any other one another worker may have to begin at its commit.
        assert all(m.committed % 640 == 0 for m in told[:-1])


@pytest.mark.parametrize("which", [0, 1])
def test_a_stream_opened_at_a_commit_goes_on_with_the_same_finals(which: int) -> None:
    bench = Bench()
    stream = bench.open(1)
    bench.send(stream, _TALK)
    bench.run()
    commit = bench.sent(FinalMessage, stream)[which]

    other = Bench()
    again = other.open(7, start=commit.committed, resume=commit.resume)
    other.send(again, _TALK[commit.committed :])
    other.finish(again)
    other.run()

    assert finals_of(other, again) == transcribe(_TALK)[which + 1 :]


def test_a_resume_state_that_is_none_closes_the_stream_only() -> None:
    bench = Bench()
    broken = bench.open(1, start=640, resume=b"nonsense")
    healthy = bench.open(2)
    bench.send(healthy, _TALK)
    bench.run()

    assert bench.messages[:2] == [Failed(broken, Gap("inference_error", 0.04, 0.04)), Closed(broken)]
    assert len(bench.texts(healthy)) == 2


def test_a_segment_that_is_too_small_closes_the_stream() -> None:
    bench = Bench()
    stream = bench.attach(1, silence(1.0), count=20_000)

    assert bench.messages == [Failed(stream, Gap("inference_error", 0.0, 0.0)), Closed(stream)]
    assert bench.engine.streams == 0


# -- failures


def test_a_window_that_fails_costs_its_own_utterance() -> None:
    bench = Bench()
    stream = bench.open(1, partials=False)
    bench.send(stream, speech([POISON_HZ]), endpoint(), speech(PITCHES[:2]), endpoint())
    bench.run()

    (failed,) = bench.sent(Failed, stream)
    lost, heard = bench.sent(FinalMessage, stream)
    assert failed.gap == Gap("inference_error", lost.final.start, lost.final.end)
    assert lost.final.text == ""
    assert lost.committed > 0
    assert len(heard.final.words) == 2


def test_a_failing_file_window_costs_its_own_segment() -> None:
    bench = Bench()
    stream = bench.attach(1, np.concatenate([speech([POISON_HZ]), endpoint(), speech(PITCHES[:2]), endpoint()]))
    bench.run()

    assert len(bench.sent(Failed, stream)) == 1
    assert len(bench.texts(stream)) == 1
    assert bench.messages[-1] == Closed(stream)


def test_a_partial_that_fails_is_dropped_and_its_mates_are_served_alone() -> None:
    bench = Bench()
    good, bad = bench.open(1), bench.open(2)
    bench.send(good, speech([500.0]))
    bench.send(bad, speech([POISON_HZ]))
    bench.run()
    assert bench.sent(Failed) == []
    assert bench.partial_texts(good) == []

    bench.now += 1.0
    bench.send(good, tone(800.0, 0.6))
    bench.send(bad, tone(POISON_HZ, 0.6))
    bench.run()

    assert len(bench.partial_texts(good)) == 1
    assert [record.batch for record in bench.passes] == [2, 1, 1]
