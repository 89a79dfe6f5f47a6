"""The engine on a bench: the fake recogniser under it, tones for speech, and messages in and out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np

from gigastt.audio.pcm import Samples
from gigastt.ipc.blackbox import Touch
from gigastt.ipc.messages import (
    AttachAudio,
    Audio,
    Cancel,
    Failed,
    FinalMessage,
    Finish,
    Found,
    OpenStream,
    PartialMessage,
    PassRecord,
    Proceed,
    Recognise,
    Recognised,
    StreamId,
    ToGateway,
)
from gigastt.speech.activity import ActivityDetector
from gigastt.speech.recognizer import ON_CORE, Sharing
from gigastt.speech.stream import Stream
from gigastt.speech.tokens import Hypothesis, Window
from gigastt.transcript import Options
from gigastt.workers.engine import Engine
from gigastt.workers.voices import LoadVoices
from tests.fakes.detector import LoudnessDetector
from tests.fakes.recognizer import FakeRecognizer, silence, tone

Message = TypeVar("Message")

PITCHES = (300.0, 500.0, 800.0, 1200.0, 1800.0, 2600.0)


class Bench:
    """An engine, a clock that only moves when told to, and every message that came out."""

    def __init__(
        self,
        detector: Callable[[], ActivityDetector] = LoudnessDetector,
        load_voices: LoadVoices = lambda: None,
        sharing: Sharing = ON_CORE,
    ) -> None:
        self.named: Sequence[Touch] = ()  # what the engine says it is looking at now
        self.touches: list[Sequence[Touch]] = []
        self.recognizer = _WatchingRecognizer(self, sharing)
        opening = partial(open_stream, detector=detector)
        self.engine = Engine(self.recognizer, opening, self._attach, self._touch, load_voices=load_voices)
        self.segments: dict[str, Samples] = {}
        self.messages: list[ToGateway] = []
        self.passes: list[PassRecord] = []
        self.now = 0.0
        self._attached: dict[StreamId, AttachAudio] = {}
        self._asked: dict[StreamId, Found] = {}
        self._queue: list[ToGateway] = []  # behind an utterance that is not recognised yet

    def open(
        self,
        number: int,
        *,
        partials: bool = True,
        alone: bool = False,
        start: int = 0,
        resume: bytes = b"",
        diarization: bool = False,
    ) -> StreamId:
        stream = StreamId(number)
        options = Options(partials=partials, diarization=diarization)
        self.engine.handle(OpenStream(stream, start, resume, options, f"request-{number}", alone))
        return stream

    def send(self, stream: StreamId, *parts: Samples) -> None:
        pcm = np.concatenate(parts).astype("<i2").tobytes()
        self.engine.handle(Audio(stream, pcm))
        self.messages += self.engine.collect()

    def finish(self, stream: StreamId) -> None:
        self.engine.handle(Finish(stream))
        self.messages += self.engine.collect()

    def cancel(self, stream: StreamId) -> None:
        self.engine.handle(Cancel(stream))

    def attach(self, number: int, samples: Samples, count: int | None = None, *, diarization: bool = False) -> StreamId:
        stream = StreamId(number)
        self.segments[f"segment-{number}"] = samples
        size, options = len(samples) if count is None else count, Options(diarization=diarization)
        message = AttachAudio(stream, f"segment-{number}", size, 0, b"", options, "request", ahead=4)
        self._attached[stream] = message
        self.engine.handle(message)
        self._take(self.engine.collect())
        return stream

    def step(self, seconds: float = 0.01) -> PassRecord | None:
        """Run one step that takes `seconds`; return the record of its pass, if it ran one."""
        self._take(self.engine.step(self.now))
        self.now += seconds
        record = self.engine.account(seconds, seconds)
        if record is not None:
            self.passes.append(record)
        return record

    def run(self) -> None:
        """Run until there is nothing to do at this moment."""
        while self.engine.wait_seconds(self.now) == 0.0:
            self.step()

    def next_pass(self) -> PassRecord:
        """Run until a pass has been run."""
        while True:
            record = self.step()
            if record is not None:
                return record

    def sent(self, kind: type[Message], stream: StreamId | None = None) -> list[Message]:
        """The messages of one kind, of one stream or of all."""
        found = [message for message in self.messages if isinstance(message, kind)]
        return [message for message in found if stream is None or getattr(message, "stream", None) == stream]

    def texts(self, stream: StreamId) -> list[str]:
        return [message.final.text for message in self.sent(FinalMessage, stream) if message.final.text]

    def partial_texts(self, stream: StreamId) -> list[str]:
        return [message.partial.text for message in self.sent(PartialMessage, stream)]

    def _take(self, messages: Sequence[ToGateway]) -> None:
        """Note messages; have the engine recognise what it found in a file, as a gateway with one worker does."""
        for message in messages:
            if isinstance(message, Found):
                file = self._attached[message.stream]
                request = StreamId(10_000 + len(self._asked))
                self._asked[request] = message
                self._queue.append(message)
                self.engine.handle(Recognise(request, file.segment, file.samples, message.excerpt, file.options))
            elif isinstance(message, Recognised):
                found = self._asked[message.stream]
                final = FinalMessage(found.stream, message.final, found.consumed, found.committed, found.resume)
                self._queue[self._queue.index(found)] = final
                self.engine.handle(Proceed(found.stream))
            elif isinstance(message, Failed) and message.stream in self._asked:
                found = self._asked[message.stream]
                self._queue.insert(self._queue.index(found), replace(message, stream=found.stream))
            else:
                self._queue.append(message)
        while self._queue and not isinstance(self._queue[0], Found):
            self.messages.append(self._queue.pop(0))

    def _touch(self, touches: Sequence[Touch]) -> None:
        self.named = touches
        if touches:
            self.touches.append(touches)

    def _attach(self, name: str, samples: int) -> Samples:
        segment = self.segments[name]
        if len(segment) < samples:
            raise ValueError("Expected more samples in the segment.")
        return segment[:samples]


class _WatchingRecognizer(FakeRecognizer):
    """Notes for each pass its windows' spans, and what the engine had named when it began."""

    def __init__(self, bench: Bench, sharing: Sharing) -> None:
        super().__init__(sharing)
        self._bench = bench
        self.looks: list[tuple[list[tuple[int, int]], Sequence[Touch]]] = []

    def transcribe_batch(self, windows: Sequence[Window]) -> list[Hypothesis]:
        spans = [(each.first_frame * 160, (each.first_frame + len(each.features)) * 160) for each in windows]
        self.looks.append((spans, self._bench.named))
        return super().transcribe_batch(windows)


def open_stream(
    options: Options, start: int, resume: bytes, detector: Callable[[], ActivityDetector] = LoudnessDetector
) -> Stream:
    return Stream(options, detector, start, resume)


def speech(pitches: Sequence[float], *, pause: float = 0.2, seconds: float = 0.3) -> Samples:
    """Tones with short pauses: one utterance, a word for each."""
    parts = [part for pitch in pitches for part in (tone(pitch, seconds), silence(pause))]
    return np.concatenate([silence(0.5), *parts])


def endpoint() -> Samples:
    """Silence that ends an utterance."""
    return silence(1.5)
