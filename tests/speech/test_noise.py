"""Ten minutes of what is not speech: no words, next to no passes, and nothing that grows."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pytest

from gigastt.audio.pcm import SAMPLE_RATE, Samples
from gigastt.speech.activity import ActivityDetector, ActivityModel
from gigastt.speech.commit import MAX_RESUME_BYTES
from gigastt.speech.recognizer import Recognizer
from gigastt.speech.stream import Stream
from gigastt.transcript import Options
from tests.recordings import DEMO_MODEL, files_in
from tools.activity.channels import to_samples
from tools.activity.music import music
from tools.activity.noises import brown, fan, hum, pink, white

pytestmark = pytest.mark.slow

MINUTES = 10
CHUNK_SAMPLES = SAMPLE_RATE // 10
CADENCE_CHUNKS = 3  # partial passes as often as on an idle machine
LOUDNESS = 0.05  # -26 dB below full scale: as loud as speech

Generator = Callable[[int, np.random.Generator], np.ndarray[tuple[int], np.dtype[np.float32]]]
STATIONARY: dict[str, Generator] = {"white": white, "pink": pink, "brown": brown, "hum": hum, "fan": fan}


@dataclass
class Heard:
    """What became of a recording."""

    words: list[str] = field(default_factory=list)
    shown: int = 0  # partials that had something to show
    passes: int = 0
    encoded_seconds: float = 0.0
    held_samples: int = 0  # at most; taken in, and not committed
    resume_bytes: int = 0  # at most


@cache
def recognizer() -> Recognizer:
    return Recognizer.load(files_in(DEMO_MODEL))


def listen(chunks: Iterator[Samples]) -> Heard:
    """Run a recording through a stream and the demo model, at the pace of an idle machine."""
    model = ActivityModel.load()
    stream = Stream(Options(), lambda: ActivityDetector(model))
    heard = Heard()
    for number, chunk in enumerate(chunks):
        stream.push(chunk)
        _take_finals(stream, heard)
        if number % CADENCE_CHUNKS == 0 and (window := stream.next_partial()) is not None:
            heard.passes += 1
            heard.encoded_seconds += len(window.features) / 100
            shown = stream.accept_partial(window, recognizer().transcribe(window), alone=True)
            heard.shown += shown is not None
        commit = stream.commit
        heard.held_samples = max(heard.held_samples, stream.consumed - commit.offset)
        heard.resume_bytes = max(heard.resume_bytes, len(commit.resume))
    stream.finish()
    _take_finals(stream, heard)
    return heard


def _take_finals(stream: Stream, heard: Heard) -> None:
    while (utterance := stream.next_final()) is not None:
        hypothesis = utterance.hypothesis
        if hypothesis is None:
            heard.passes += 1
            heard.encoded_seconds += len(utterance.window.features) / 100
            hypothesis = recognizer().transcribe(utterance.window)
        final = stream.accept_final(utterance, hypothesis)
        if final is not None:
            heard.words += [word.text for word in final.words]


def chunks_of(samples: Samples) -> Iterator[Samples]:
    for begin in range(0, len(samples), CHUNK_SAMPLES):
        yield samples[begin : begin + CHUNK_SAMPLES]


def silence(minutes: float) -> Iterator[Samples]:
    chunk = np.zeros(CHUNK_SAMPLES, np.int16)
    return (chunk for _ in range(round(minutes * 60 * SAMPLE_RATE / CHUNK_SAMPLES)))


def sound(generator: Generator, minutes: float, seed: int) -> Iterator[Samples]:
    """A minute of it, over and over: what matters is how long it lasts."""
    minute = to_samples(LOUDNESS * generator(60 * SAMPLE_RATE, np.random.default_rng(seed)))
    return chunks_of(np.tile(minute, round(minutes)))


def test_ten_minutes_of_digital_silence_are_nothing() -> None:
    heard = listen(silence(MINUTES))
    assert (heard.words, heard.passes) == ([], 0)
    assert heard.held_samples <= 2 * SAMPLE_RATE
    assert heard.resume_bytes <= 1_024


@pytest.mark.parametrize("name", STATIONARY)
def test_ten_minutes_of_a_stationary_noise_are_next_to_nothing(name: str) -> None:
    heard = listen(sound(STATIONARY[name], MINUTES, seed=1))
    assert (heard.words, heard.shown) == ([], 0)
    assert heard.encoded_seconds <= 0.01 * MINUTES * 60
    assert heard.held_samples <= 5 * SAMPLE_RATE
    assert heard.resume_bytes <= MAX_RESUME_BYTES


def test_ten_minutes_of_music_have_no_words_and_stay_bounded() -> None:
    heard = listen(chunk for seed in range(MINUTES) for chunk in sound(music, 1, seed))
    assert heard.words == []
    assert heard.encoded_seconds <= 0.7 * MINUTES * 60
    assert heard.held_samples <= 25 * SAMPLE_RATE
    assert heard.resume_bytes <= MAX_RESUME_BYTES


def test_a_stream_in_silence_does_not_grow() -> None:
    model = ActivityModel.load()
    stream = Stream(Options(), lambda: ActivityDetector(model))

    def listen_for(minutes: float) -> int:
        for chunk in silence(minutes):
            stream.push(chunk)
            assert stream.next_final() is None
            assert stream.commit.offset <= stream.consumed
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        listen_for(0.5)
        before = listen_for(0.5)
        assert listen_for(2) - before < 16_384
    finally:
        tracemalloc.stop()
