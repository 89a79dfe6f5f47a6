"""Voices in a worker: the same in every way of cutting the audio, looked for ahead, and no harm to words."""

from __future__ import annotations

import numpy as np
import pytest

from gigastt.audio.pcm import Samples
from gigastt.errors import InferenceError
from gigastt.ipc.messages import FinalMessage, OpenStream, StreamId
from gigastt.speech.voices import WINDOW_FRAMES, VoiceWindow
from gigastt.transcript import Final, Options, Voice
from tests.fakes.engine_bench import PITCHES, Bench, endpoint, speech

LONG = speech(PITCHES * 4, pause=0.2)  # 12 s: three windows and a rest
TALK = np.concatenate([LONG, endpoint(), speech(PITCHES[:2]), endpoint()])


class FakeVoices:
    """Hears one voice in every window, whose vector tells which samples it was."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.looked: list[VoiceWindow] = []
        self._refuses = refuses

    def find(self, samples: Samples, window: VoiceWindow) -> tuple[Voice, ...]:
        self.looked.append(window)
        if self._refuses:
            raise InferenceError("No.")
        heard = samples[: (window.end - window.context) * 160].astype(np.int64)
        digest = int(heard @ np.arange(1, len(heard) + 1))
        return (Voice((window.begin, window.end), len(heard) / 16_000, digest.to_bytes(16, "little", signed=True)),)


def bench_with(model: FakeVoices) -> Bench:
    return Bench(load_voices=lambda: model)


def finals(bench: Bench, stream: StreamId) -> list[Final]:
    return [message.final for message in bench.sent(FinalMessage, stream) if message.final.words]


def play(bench: Bench, *, piece: int, partials: bool = True) -> list[Final]:
    stream = bench.open(1, partials=partials, diarization=True)
    for at in range(0, len(TALK), piece):
        bench.send(stream, TALK[at : at + piece])
        bench.run()
    bench.finish(stream)
    bench.run()
    return finals(bench, stream)


@pytest.mark.parametrize("partials", [True, False])
@pytest.mark.parametrize("piece", [320, 3_200, 16_000, len(TALK)])
def test_live_voices_are_those_of_the_file(piece: int, partials: bool) -> None:
    bench = bench_with(FakeVoices())
    file = bench.attach(7, TALK, diarization=True)
    bench.run()
    expected = finals(bench, file)

    told = play(bench_with(FakeVoices()), piece=piece, partials=partials)

    assert [final.voices for final in told] == [final.voices for final in expected]
    assert [len(final.voices) for final in told] == [4, 1]
    assert [final.text for final in told] == [final.text for final in expected]


def test_most_windows_are_looked_at_before_the_utterance_ends_and_each_once() -> None:
    model = FakeVoices()
    bench = bench_with(model)
    stream = bench.open(1, diarization=True)
    for at in range(0, len(LONG), 3_200):
        bench.send(stream, LONG[at : at + 3_200])
        bench.run()
    ahead = len(model.looked)
    bench.send(stream, endpoint())
    bench.run()

    assert not finals(bench, stream)[1:]
    assert ahead >= 3
    whole = [window for window in model.looked if window.end - window.begin == WINDOW_FRAMES]
    assert len(whole) == len(set(whole)) == 3


def test_a_resumed_stream_has_the_voices_it_would_have_had() -> None:
    expected = play(bench_with(FakeVoices()), piece=3_200)
    dying = bench_with(FakeVoices())
    stream = dying.open(1, diarization=True)
    cut = len(LONG) + 32_000
    dying.send(stream, TALK[:cut])
    dying.run()
    [first] = dying.sent(FinalMessage, stream)
    bench = bench_with(FakeVoices())
    again = StreamId(2)
    bench.engine.handle(OpenStream(again, first.committed, first.resume, Options(diarization=True), "request"))
    bench.send(again, TALK[first.committed :])
    bench.finish(again)
    bench.run()

    assert [first.final.voices, *(final.voices for final in finals(bench, again))] == [one.voices for one in expected]


def test_a_window_that_the_model_refuses_costs_no_word() -> None:
    plain = Bench()
    stream = plain.open(1)
    plain.send(stream, TALK)
    plain.finish(stream)
    plain.run()

    told = play(bench_with(FakeVoices(refuses=True)), piece=3_200)

    assert [final.text for final in told] == plain.texts(stream)
    assert [final.voices for final in told] == [(), ()]


def test_nothing_is_loaded_where_nobody_wants_speakers() -> None:
    def load() -> FakeVoices:
        raise AssertionError("nobody asked for speakers")

    bench = Bench(load_voices=load)
    stream = bench.open(1)
    bench.send(stream, TALK)
    bench.finish(stream)
    bench.attach(7, TALK)
    bench.run()

    assert len(bench.texts(stream)) == 2


def test_a_cancelled_file_is_no_longer_listened_to() -> None:
    model = FakeVoices()
    bench = bench_with(model)
    bench.attach(7, TALK, diarization=True)
    while not model.looked:
        bench.step()
    before = len(model.looked)
    for number in (7, *range(10_000, 10_004)):
        bench.cancel(StreamId(number))
    bench.run()

    assert len(model.looked) == before
    assert bench.engine.streams == 0
