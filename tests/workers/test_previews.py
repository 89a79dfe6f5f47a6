"""Previews: what the final would be if no more audio came, told without any trace in the stream."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gigastt.ipc.messages import Audio, FinalMessage, PartialMessage, Preview, StreamId
from tests.fakes.cuts import cut_at
from tests.fakes.engine_bench import PITCHES, Bench, endpoint, speech
from tests.fakes.recognizer import POISON_HZ, silence, tone
from tests.properties import tries

_TALK = np.concatenate([speech(PITCHES[:3]), endpoint(), speech(PITCHES[3:5]), endpoint(), speech(PITCHES[5:])])


def previews_of(bench: Bench, stream: StreamId) -> list[str]:
    return [message.partial.text for message in bench.sent(PartialMessage, stream) if message.partial.as_final]


def final_texts(bench: Bench, stream: StreamId) -> list[str]:
    return [message.final.text for message in bench.sent(FinalMessage, stream)]


def preview(bench: Bench, stream: StreamId) -> str:
    bench.engine.handle(Preview(stream))
    bench.run()
    return previews_of(bench, stream)[-1]


def test_a_preview_shows_the_utterance_that_silence_has_not_ended() -> None:
    bench = Bench()
    stream = bench.open(1, partials=False)
    bench.send(stream, silence(0.3), tone(PITCHES[0], 0.3), silence(0.2), tone(PITCHES[1], 0.3))
    bench.run()
    shown = preview(bench, stream)
    assert len(shown.split()) == 2
    assert final_texts(bench, stream) == []
    bench.finish(stream)
    bench.run()
    assert final_texts(bench, stream) == [shown]


def test_a_preview_of_silence_needs_no_pass_and_says_nothing() -> None:
    bench = Bench()
    stream = bench.open(1)
    bench.send(stream, silence(1.0))
    assert preview(bench, stream) == ""
    assert bench.passes == []


def test_audio_that_comes_first_makes_a_preview_void() -> None:
    bench = Bench()
    stream = bench.open(1, partials=False)
    bench.send(stream, silence(0.3), tone(PITCHES[0], 0.3))
    bench.engine.handle(Preview(stream))
    bench.send(stream, tone(PITCHES[0], 0.1))
    bench.run()
    assert previews_of(bench, stream) == []


def test_after_a_preview_no_partial_of_the_same_audio_comes() -> None:
    bench = Bench()
    stream = bench.open(1)
    bench.send(stream, silence(0.3), tone(PITCHES[0], 0.3), silence(0.1), tone(PITCHES[1], 0.3))
    preview(bench, stream)
    bench.now += 5
    bench.run()
    assert bench.sent(PartialMessage, stream)[-1].partial.as_final
    bench.send(stream, silence(0.2), tone(PITCHES[2], 0.3))
    bench.now += 5
    bench.run()
    assert not bench.sent(PartialMessage, stream)[-1].partial.as_final


def test_a_preview_that_fails_is_not_told_and_costs_nothing_else() -> None:
    bench = Bench()
    stream = bench.open(1, partials=False)
    bench.send(stream, silence(0.3), tone(POISON_HZ, 0.3))
    bench.engine.handle(Preview(stream))
    bench.run()
    bench.send(stream, endpoint(), silence(0.3), tone(PITCHES[1], 0.3))
    bench.finish(stream)
    bench.run()
    assert previews_of(bench, stream) == []
    assert len(final_texts(bench, stream)[-1].split()) == 1


def test_streams_that_are_not_known_have_no_preview() -> None:
    bench = Bench()
    bench.engine.handle(Preview(StreamId(7)))
    bench.run()
    assert bench.messages == []


@given(cut=st.lists(st.integers(0, len(_TALK)), max_size=12), partials=st.booleans(), pause=st.sampled_from([0.0, 1.0]))
@tries(25)
def test_previews_change_no_final_and_say_what_a_file_that_ends_there_says(
    cut: list[int], partials: bool, pause: float
) -> None:
    bench = Bench()
    stream = bench.open(1, partials=partials)
    sent = b""
    for piece in cut_at(_TALK.tobytes(), [2 * place for place in cut]):
        bench.engine.handle(Audio(stream, piece))
        bench.messages += bench.engine.collect()
        sent += piece
        bench.run()
        bench.now += pause
        told = final_texts(bench, stream)
        assert " ".join([*told, preview(bench, stream)]).split() == " ".join(file_texts(sent)).split()
    bench.finish(stream)
    bench.run()
    assert final_texts(bench, stream) == file_texts(_TALK.tobytes())


def file_texts(pcm: bytes) -> list[str]:
    bench = Bench()
    stream = bench.attach(1, np.frombuffer(pcm, dtype="<i2"))
    bench.run()
    return final_texts(bench, stream)
