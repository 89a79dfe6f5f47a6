"""Passes that hold whatever is queued, as on a card: nobody's words depend on who else is in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.audio.pcm import Samples
from gigastt.ipc.messages import AttachAudio, Closed, Failed, FinalMessage, Found, Recognise, Recognised, StreamId
from gigastt.speech.recognizer import ON_CARD, ON_CORE, Sharing
from gigastt.transcript import Final, Options
from tests.fakes.engine_bench import PITCHES, Bench, endpoint, speech
from tests.fakes.recognizer import POISON_HZ, silence, tone
from tests.properties import tries

PADDED = replace(ON_CARD, pads=True)
TALKS = [np.concatenate([speech(PITCHES[n : n + 3]), endpoint(), speech(PITCHES[n:5])]) for n in range(4)]


def finals_of(bench: Bench, stream: StreamId) -> list[Final]:
    return [message.final for message in bench.sent(FinalMessage, stream)]


def hear(sharing: Sharing, talks: list[Samples], *, partials: bool = True) -> tuple[Bench, list[list[Final]]]:
    """Let people say something at the same time, all of it at once, and return everybody's finals."""
    bench = Bench(sharing=sharing)
    streams = [bench.open(number, partials=partials) for number in range(1, len(talks) + 1)]
    for stream, talk in zip(streams, talks, strict=True):
        bench.send(stream, talk)
    for stream in streams:
        bench.finish(stream)
    bench.run()
    assert all(bench.sent(Closed, stream) for stream in streams)
    return bench, [finals_of(bench, stream) for stream in streams]


@pytest.mark.parametrize("sharing", [ON_CARD, PADDED], ids=["equal lengths", "padded"])
def test_everybody_has_the_finals_that_they_have_alone(sharing: Sharing) -> None:
    alone = [hear(ON_CORE, [talk], partials=False)[1][0] for talk in TALKS]

    bench, together = hear(sharing, TALKS, partials=False)

    assert together == alone
    assert len(bench.passes) < sum(len(finals) for finals in alone)


def test_finals_that_wait_share_one_pass() -> None:
    bench, _ = hear(ON_CARD, [TALKS[0]] * 5, partials=False)
    assert [record.batch for record in bench.passes] == [5, 5]


@given(order=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 30_000)), max_size=40), pads=st.booleans())
@tries(25)
def test_finals_do_not_depend_on_what_comes_together(order: list[tuple[int, int]], pads: bool) -> None:
    bench = Bench(sharing=replace(ON_CARD, pads=pads))
    streams = [bench.open(number) for number in range(1, 5)]
    left = list(TALKS)
    for who, samples in [*order, *((who, 1 << 20) for who in range(4))]:
        bench.send(streams[who], left[who][:samples])
        left[who] = left[who][samples:]
        bench.step()
        bench.now += 0.1
    for stream in streams:
        bench.finish(stream)
    bench.run()

    assert [finals_of(bench, stream) for stream in streams] == [hear(ON_CORE, [talk])[1][0] for talk in TALKS]


def test_a_window_that_cannot_be_transcribed_costs_only_its_own_final() -> None:
    poisoned = np.concatenate([silence(0.5), tone(POISON_HZ, 1.3), silence(0.2)])
    healthy = np.concatenate([silence(0.5), tone(500.0, 1.3), silence(0.2)])

    bench, finals = hear(ON_CARD, [healthy, poisoned, healthy], partials=False)

    assert [failed.stream for failed in bench.sent(Failed)] == [StreamId(2)]
    assert [bool(each[0].words) for each in finals] == [True, False, True]
    assert finals[0] == finals[2]


def test_a_stream_over_which_a_worker_has_crashed_shares_no_pass() -> None:
    bench = Bench(sharing=ON_CARD)
    streams = [bench.open(number, partials=False, alone=number == 2) for number in (1, 2, 3)]
    for stream in streams:
        bench.send(stream, TALKS[0][: len(TALKS[0]) // 2], endpoint())
    bench.run()
    assert sorted(len(spans) for spans, _ in bench.recognizer.looks) == [1, 2]
    assert all(len(named) == len(spans) for spans, named in bench.recognizer.looks)


def test_what_a_shared_pass_of_partials_gives_ahead_of_an_endpoint_is_the_final() -> None:
    bench = Bench(sharing=ON_CARD)
    streams = [bench.open(number) for number in (1, 2, 3)]
    for stream in streams:
        bench.send(stream, speech(PITCHES[:2]), silence(0.4))
    bench.run()
    ahead = len(bench.passes)
    for stream in streams:
        bench.send(stream, endpoint())
    bench.run()

    assert max(record.batch for record in bench.passes) == 3
    assert len(bench.passes) == ahead
    assert all(bench.texts(stream) for stream in streams)


def test_utterances_of_files_share_passes_and_are_what_they_are_alone() -> None:
    talk = np.concatenate([part for pitch in PITCHES for part in (tone(pitch, 1.0), endpoint())])
    told = {}
    for sharing in (ON_CORE, PADDED):
        bench = Bench(sharing=sharing)
        stream = bench.attach(1, talk)
        bench.run()
        told[sharing] = finals_of(bench, stream)
        batches = [record.batch for record in bench.passes]
        assert (max(batches) > 1) == (sharing is PADDED)
    assert told[ON_CORE] == told[PADDED]
    assert sum(map(len, (final.words for final in told[PADDED]))) == len(PITCHES)


def test_an_utterance_of_a_file_over_which_a_worker_has_crashed_shares_no_pass() -> None:
    bench = Bench(sharing=PADDED)
    bench.segments["file"] = np.concatenate([silence(0.5), tone(500.0, 1.0), endpoint()] * 4)
    found = find_utterances(bench)
    for number, message in enumerate(found):
        size = len(bench.segments["file"])
        bench.engine.handle(Recognise(StreamId(100 + number), "file", size, message.excerpt, Options(), number == 1))
    said = []
    while bench.engine.streams:
        said += [message for message in bench.engine.step(0.0) if isinstance(message, Recognised)]
    passes = [[touch.stream for touch in named] for _, named in bench.recognizer.looks]
    assert [StreamId(101)] in passes
    assert max(map(len, passes)) > 1
    assert {message.stream for message in said} == {StreamId(100 + number) for number in range(len(found))}


def find_utterances(bench: Bench) -> list[Found]:
    """Return what a stream over the segment `file` finds, without having it recognised."""
    size = len(bench.segments["file"])
    bench.engine.handle(AttachAudio(StreamId(1), "file", size, 0, b"", Options(), "request", ahead=99))
    found: list[Found] = []
    while bench.engine.streams:
        found += [message for message in bench.engine.step(0.0) if isinstance(message, Found)]
    return found
