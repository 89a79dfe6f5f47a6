"""What a worker says it is looking at: the audio of every pass and packet, before it looks, and nothing after."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gigastt.ipc.blackbox import Touch
from gigastt.ipc.messages import StreamId
from gigastt.speech.tokens import Features
from tests.fakes.detector import LoudnessDetector
from tests.fakes.engine_bench import PITCHES, Bench, endpoint, speech
from tests.fakes.recognizer import silence


def named(touches: Sequence[Touch]) -> set[StreamId]:
    return {touch.stream for touch in touches}


def test_a_pass_names_the_streams_whose_windows_it_holds_and_their_samples() -> None:
    bench = Bench()
    streams = [bench.open(number) for number in range(1, 4)]
    for stream in streams:
        bench.send(stream, speech(PITCHES[:2]))
    bench.run()

    [touches] = bench.touched
    assert named(touches) == set(streams)
    for touch in touches:
        assert touch.start <= 8_000  # where the first word begins
        assert touch.end >= 8_000 + 4_800
        assert touch.end <= len(speech(PITCHES[:2]))
    assert bench.touches == ()


@pytest.mark.parametrize("ending", [True, False], ids=["final", "final computed ahead"])
def test_the_pass_of_a_final_names_its_stream_alone(ending: bool) -> None:
    bench = Bench()
    quiet, stream = bench.open(1), bench.open(2)
    bench.send(quiet, speech(PITCHES[:2]))
    bench.send(stream, speech(PITCHES[:3]), endpoint() if ending else silence(0.3))
    bench.next_pass()

    assert named(bench.touched[0]) == {stream}
    assert bench.touches == ()


def test_the_passes_of_a_file_name_it() -> None:
    bench = Bench()
    stream = bench.attach(7, speech(PITCHES))
    bench.run()

    assert bench.touched
    assert all(named(touches) == {stream} for touches in bench.touched)


def test_the_detector_works_on_named_streams_only() -> None:
    seen: list[Sequence[Touch]] = []

    class Watching(LoudnessDetector):
        """Notes what is named while it works."""

        def push(self, unit: Features) -> bytes:
            seen.append(bench.touches)
            return super().push(unit)

    bench = Bench(Watching)
    live = bench.open(1)
    bench.send(live, speech(PITCHES[:1]))
    assert [named(touches) for touches in seen] == [{live}] * len(seen)
    assert seen
    assert all(touches[0].end >= 8_000 for touches in seen)
    assert bench.touches == ()

    seen.clear()
    file = bench.attach(2, speech(PITCHES[:1]))
    bench.run()
    assert file in {stream for touches in seen for stream in named(touches)}
    assert all(len(touches) == 1 for touches in seen)
