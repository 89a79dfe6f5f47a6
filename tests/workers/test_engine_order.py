"""In which order the engine works: finals, partials of those that waited longest, files with their share."""

from __future__ import annotations

import numpy as np
import pytest

from gigastt.ipc.messages import FinalMessage, PartialMessage, Progress
from tests.fakes.engine_bench import PITCHES, Bench, endpoint, speech
from tests.fakes.recognizer import silence, tone


def test_finals_go_first_in_the_order_in_which_utterances_ended() -> None:
    bench = Bench()
    growing, late, early = bench.open(1), bench.open(2), bench.open(3)
    bench.send(growing, speech(PITCHES[:2]))
    bench.send(early, speech(PITCHES[:1]), endpoint())
    bench.send(late, speech(PITCHES[:1]), endpoint())

    records = [bench.next_pass(), bench.next_pass(), bench.next_pass()]

    assert [record.kind for record in records] == ["final", "final", "partial"]
    assert [final.stream for final in bench.sent(FinalMessage)] == [early, late]


def test_the_final_of_a_stream_that_keeps_up_goes_before_those_of_streams_that_were_sent_much_at_once() -> None:
    bench = Bench()
    ahead = [bench.open(number) for number in (1, 2, 3)]
    speaking = bench.open(4)
    for stream in ahead:
        bench.send(stream, *[part for _ in range(6) for part in (speech(PITCHES[:1]), endpoint())])
    bench.next_pass()
    bench.messages.clear()
    bench.send(speaking, speech(PITCHES[:1]), endpoint())

    bench.next_pass()

    assert [final.stream for final in bench.sent(FinalMessage)] == [speaking]


def test_the_stream_that_waited_longest_gets_its_partial_first() -> None:
    bench = Bench()
    streams = [bench.open(number) for number in (1, 2, 3)]
    for number, stream in enumerate(streams):
        bench.now = 10.0 - number
        bench.send(stream, speech(PITCHES[: 3 + number]))  # of different lengths: no two share a pass
        bench.next_pass()
        bench.send(stream, tone(900.0, 0.2))
    bench.now = 20.0
    bench.messages.clear()

    for _ in streams:
        bench.next_pass()

    assert [partial.stream for partial in bench.sent(PartialMessage)] == streams[::-1]


def test_a_stream_without_a_word_yet_goes_before_those_that_have_some() -> None:
    bench = Bench()
    shown, fresh = bench.open(1), bench.open(2)
    bench.send(shown, speech(PITCHES[:2]))
    bench.next_pass()
    bench.now += 10.0
    bench.send(shown, tone(900.0, 0.2))
    bench.send(fresh, speech(PITCHES[:3]))

    bench.next_pass()

    assert [partial.stream for partial in bench.sent(PartialMessage)] == [shown, fresh]


def test_partials_keep_their_distance() -> None:
    bench = Bench()
    stream = bench.open(1)
    bench.send(stream, speech(PITCHES[:1]))
    bench.run()
    passed = bench.now
    bench.send(stream, tone(500.0, 0.3))

    assert len(bench.passes) == 1
    assert bench.engine.wait_seconds(passed) == pytest.approx(0.3 - 0.01)


def test_a_stream_that_wants_no_partials_gets_none() -> None:
    bench = Bench()
    stream = bench.open(1, partials=False)
    bench.send(stream, speech(PITCHES))
    bench.run()

    assert bench.engine.wait_seconds(bench.now) is None
    assert bench.passes == []


def test_partials_of_equal_windows_share_a_pass_and_finals_never_do() -> None:
    bench = Bench()
    streams = [bench.open(number) for number in range(1, 7)]
    for stream in streams:
        bench.send(stream, speech(PITCHES[:2]))
    bench.run()
    assert [(record.kind, record.batch) for record in bench.passes] == [("partial", 4), ("partial", 2)]
    bench.passes.clear()

    for stream in streams:
        bench.send(stream, endpoint())
    bench.run()

    assert [(record.kind, record.batch) for record in bench.passes] == [("final", 1)] * 6


def test_a_partial_overtaken_by_the_end_of_its_utterance_is_dropped() -> None:
    bench = Bench()
    stream = bench.open(1)
    bench.send(stream, speech(PITCHES[:2]))
    bench.send(stream, endpoint())
    bench.run()

    assert [record.kind for record in bench.passes] == ["final"]
    assert bench.partial_texts(stream) == bench.texts(stream)  # that pass is shown once its tail of silence is there


def test_audio_that_comes_at_once_is_shown_and_settled_before_its_final_and_encoded_once() -> None:
    bench = Bench()
    stream = bench.open(1)
    bench.send(stream, speech(PITCHES[:3]), endpoint(), speech(PITCHES[3:]), endpoint())
    bench.finish(stream)
    bench.run()

    assert [record.kind for record in bench.passes] == ["final", "final"]
    told = [message for message in bench.messages if isinstance(message, PartialMessage | FinalMessage)]
    assert [type(message) for message in told] == [
        PartialMessage,
        FinalMessage,
        PartialMessage,
        FinalMessage,
        FinalMessage,
    ]
    for shown, final in (told[0:2], told[2:4]):
        assert isinstance(shown, PartialMessage)
        assert isinstance(final, FinalMessage)
        assert shown.partial.text == final.final.text
        assert shown.partial.words == final.final.words
        assert shown.partial.stable == len(final.final.words) == 3


def test_however_many_wait_each_is_shown_before_its_final_and_encoded_once() -> None:
    bench = Bench()
    streams = [bench.open(number) for number in range(1, 13)]
    for stream in streams:
        bench.send(stream, speech(PITCHES[:2]), endpoint())
    bench.run()

    assert [record.kind for record in bench.passes] == ["final"] * len(streams)
    assert all(bench.partial_texts(stream) == bench.texts(stream) != [] for stream in streams)


def test_an_upload_gets_its_share_and_a_final_waits_for_one_pass_of_it_at_most() -> None:
    bench = Bench()
    bench.attach(1, np.tile(np.concatenate([speech(PITCHES), endpoint()]), 20))
    live = [bench.open(number) for number in range(2, 7)]
    for _ in range(8):
        for stream in live:
            bench.send(stream, speech(PITCHES[:2]), endpoint())
        while bench.engine.streams and len(bench.sent(FinalMessage)) < 5:
            bench.next_pass()
        bench.messages.clear()

    kinds = [record.kind for record in bench.passes]
    share = kinds.count("file") / len(kinds)
    assert 0.2 <= share <= 0.3
    assert "file file" not in " ".join(kinds)


def test_a_long_silent_file_is_read_a_few_seconds_at_a_time() -> None:
    bench = Bench()
    stream = bench.attach(1, silence(60.0))
    bench.run()

    places = [progress.consumed for progress in bench.sent(Progress, stream)]
    assert len(places) >= 30
    assert max(np.diff([0, *places])) <= 2 * 16_000
    assert bench.passes == []


def test_a_short_file_does_not_wait_for_hours_of_silence_in_others() -> None:
    bench = Bench()
    hours = [bench.attach(number, silence(3_600.0)) for number in (1, 2)]
    short = bench.attach(3, np.concatenate([speech(PITCHES[:2]), endpoint()]))

    for _ in range(100):
        bench.step()

    assert bench.texts(short)
    assert all(bench.sent(Progress, stream) for stream in hours)


def test_idle_streams_want_nothing() -> None:
    bench = Bench()
    for number in range(50):
        bench.send(bench.open(number), silence(1.0))
    bench.run()

    assert bench.passes == []
    assert bench.engine.wait_seconds(bench.now) is None


def test_the_final_is_computed_ahead_in_the_silence_and_needs_no_second_pass() -> None:
    bench = Bench()
    stream = bench.open(1)
    bench.send(stream, speech(PITCHES[:3]))
    bench.run()
    bench.send(stream, silence(0.3))  # with the pause of the speech: enough for a tail, not for an endpoint
    bench.run()  # at once: the cadence of partials does not hold it up
    assert [record.kind for record in bench.passes] == ["partial", "partial"]
    assert bench.sent(FinalMessage) == []

    bench.send(stream, silence(0.3))
    bench.run()

    (message,) = bench.sent(FinalMessage, stream)
    assert len(message.final.words) == 3
    assert len(bench.passes) == 2


def test_windows_that_may_become_finals_run_alone() -> None:
    bench = Bench()
    for number in range(1, 4):
        bench.send(bench.open(number), speech(PITCHES[:2]), silence(0.3))
    bench.run()

    assert [record.batch for record in bench.passes] == [1, 1, 1]


def test_a_final_computed_ahead_comes_before_partials_of_others() -> None:
    bench = Bench()
    growing, ending = bench.open(1), bench.open(2)
    bench.send(ending, speech(PITCHES[:2]))
    bench.run()
    bench.send(growing, speech(PITCHES[:2]))
    bench.send(ending, silence(0.3))
    bench.messages.clear()

    bench.next_pass()

    assert bench.sent(PartialMessage, growing) == []
    bench.next_pass()
    assert len(bench.sent(PartialMessage, growing)) == 1
