"""The engine: which audio it names before it looks at it, and what shares no pass."""

from __future__ import annotations

import numpy as np

from gigastt.ipc.blackbox import Touch
from gigastt.ipc.messages import Failed, Finish, StreamId
from gigastt.speech.tokens import Features
from tests.fakes.detector import LoudnessDetector
from tests.fakes.engine_bench import PITCHES, Bench, endpoint, speech
from tests.fakes.recognizer import POISON_HZ, silence, tone

SECOND = 16_000


def spans_named(touches: object) -> list[tuple[int, int]]:
    assert isinstance(touches, list)
    return [(touch.start, touch.end) for touch in touches]


def test_every_pass_names_the_samples_under_its_windows_and_nothing_is_named_afterwards() -> None:
    bench = Bench()
    live = [bench.open(number) for number in (1, 2)]
    for pitch in PITCHES[:3]:
        for stream in live:
            bench.send(stream, tone(pitch, 0.3), silence(0.2))
        bench.run()
        bench.now += 1.0
    bench.attach(3, np.concatenate([speech(PITCHES[3:5]), endpoint(), speech(PITCHES[5:])]))
    for stream in live:
        bench.send(stream, endpoint())
        bench.engine.handle(Finish(stream))
        assert bench.named == ()
    while bench.engine.streams:
        bench.step()
        assert bench.named == ()

    assert {record.kind for record in bench.passes} == {"final", "partial", "file"}
    assert any(len(spans) == 2 for spans, _ in bench.recognizer.looks)
    for spans, named in bench.recognizer.looks:
        assert spans_named(named) == spans
        assert len({touch.stream for touch in named}) == len(spans)


def test_feeding_names_the_audio_that_came_from_where_the_stream_is() -> None:
    bench = Bench()
    stream = bench.open(1, start=2 * SECOND)
    assert bench.touches == [[Touch(stream, 2 * SECOND, 2 * SECOND + 1)]]
    bench.send(stream, silence(0.5))
    bench.send(stream, silence(0.25))
    fed = [touch for [touch] in bench.touches[1:]]
    assert fed[0] == Touch(stream, 2 * SECOND, 2 * SECOND + SECOND // 2 + 1)
    assert fed[1].start <= 2 * SECOND + SECOND // 2
    assert fed[1].end >= 2 * SECOND + SECOND * 3 // 4
    assert bench.named == ()


def test_reading_a_file_names_the_piece_that_is_read() -> None:
    bench = Bench()
    stream = bench.attach(1, silence(5.0))
    bench.step()
    bench.step()
    read = [touch for [touch] in bench.touches[-2:]]
    assert [touch.stream for touch in read] == [stream, stream]
    assert read[0].end in range(2 * SECOND, 2 * SECOND + 2)
    assert read[1].end in range(4 * SECOND - SECOND // 10, 4 * SECOND + 2)  # some is kept for the next block


def test_the_detector_works_on_named_streams_only() -> None:
    seen: list[set[StreamId]] = []

    class Watching(LoudnessDetector):
        """Notes who is named while it works."""

        def push(self, unit: Features) -> bytes:
            seen.append({touch.stream for touch in bench.named})
            return super().push(unit)

    bench = Bench(Watching)
    live = bench.open(1)
    bench.send(live, speech(PITCHES[:1]))
    assert seen == [{live}] * len(seen)
    assert seen
    file = bench.attach(2, speech(PITCHES[:1]))
    bench.run()
    assert seen[-1] == {file}


def test_a_failure_within_the_process_clears_what_was_named() -> None:
    bench = Bench()
    stream = bench.open(1, partials=False)
    bench.send(stream, tone(POISON_HZ, 0.5), endpoint())
    bench.run()
    assert len(bench.sent(Failed)) == 1
    assert bench.recognizer.looks
    assert bench.named == ()


def test_a_stream_opened_alone_shares_no_partial_pass_until_its_first_final() -> None:
    bench = Bench()
    suspect, *others = (bench.open(number, alone=number == 1) for number in (1, 2, 3))

    def speak() -> list[set[int]]:
        """Return who was in each partial pass."""
        begun = len(bench.recognizer.looks)
        for pitch in PITCHES[:3]:
            for stream in (suspect, *others):
                bench.send(stream, tone(pitch, 0.3), silence(0.2))
            bench.run()
            bench.now += 2.0
        return [{touch.stream for touch in named} for _, named in bench.recognizer.looks[begun:]]

    together = speak()
    assert {suspect} in together
    assert set(others) in together
    assert not any(suspect in streams and len(streams) > 1 for streams in together)
    for stream in (suspect, *others):
        bench.send(stream, endpoint())
    bench.run()
    assert {suspect, *others} in speak()
