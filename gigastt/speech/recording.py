"""The pump: a whole recording through one stream, in this process and in bounded memory.

Runs on the caller's thread (`gigastt transcribe`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Protocol

from gigastt.audio.pcm import Samples
from gigastt.errors import InferenceError
from gigastt.speech.activity import ActivityDetector, ActivityModel
from gigastt.speech.stream import Stream, Utterance
from gigastt.speech.tokens import FRAME_SAMPLES, Hypothesis, Window
from gigastt.speech.voices import VoiceModel, voice_windows
from gigastt.transcript import FINALS_ONLY, Final, Gap, Options, Voice

PIECE_SAMPLES = 160_000  # 10 s: what is taken in before the utterances it completes are transcribed


class Recognizes(Protocol):
    """The port through which the pump uses a recogniser."""

    def transcribe(self, window: Window) -> Hypothesis: ...


def transcribe_recording(
    recognizer: Recognizes,
    chunks: Iterable[Samples],
    options: Options = FINALS_ONLY,
    on_failure: Callable[[Gap], None] = lambda gap: None,
    *,
    is_live: bool = False,
    min_confidence: float = 0.0,
    voices: VoiceModel | None = None,
) -> Iterator[Final]:
    """Transcribe a recording and yield every utterance's final, in order.

    The same windows, alone, through the same function as a live stream's finals: the same words.
    A window that the recogniser refuses gives a final without words, after `on_failure` was told.

    Args:
        recognizer: transcribes one window at a time.
        chunks: the recording, int16 at 16 kHz, in pieces of any size.
        options: how to segment it.
        on_failure: is told each span that could not be recognised.
        voices: tells voices apart, if `options` want that.
        is_live: analyse it as a live stream is analysed, which somebody waits for.
    """
    model = ActivityModel.load()
    detector = partial(ActivityDetector, model, is_recorded=not is_live)
    stream = Stream(options, detector, min_confidence=min_confidence)
    for chunk in chunks:
        for begin in range(0, len(chunk), PIECE_SAMPLES):
            stream.push(chunk[begin : begin + PIECE_SAMPLES])
            yield from _finals(recognizer, stream, on_failure, voices)
    stream.finish()
    yield from _finals(recognizer, stream, on_failure, voices)


def _finals(
    recognizer: Recognizes, stream: Stream, on_failure: Callable[[Gap], None], voices: VoiceModel | None
) -> Iterator[Final]:
    while (utterance := stream.next_final()) is not None:
        hypothesis = utterance.hypothesis
        if hypothesis is None:
            try:
                hypothesis = recognizer.transcribe(utterance.window)
            except InferenceError:
                if not utterance.is_checkpoint:
                    on_failure(
                        Gap(
                            "inference_error",
                            stream.seconds(utterance.first_frame),
                            stream.seconds(utterance.last_frame),
                        )
                    )
        final = stream.accept_final(utterance, hypothesis)
        if final is not None:
            yield final if voices is None else add_voices(final, utterance, voices)


def add_voices(final: Final, utterance: Utterance, model: VoiceModel) -> Final:
    """Return a final with its voices, if it has words; without those of a window that the model refuses."""
    first, samples, found = utterance.first_frame, utterance.samples, list[Voice]()
    if final.words and samples is not None:
        for window in voice_windows(first, utterance.last_frame):
            with suppress(InferenceError):
                found += model.find(samples[(window.context - first) * FRAME_SAMPLES :], window)
    return replace(final, voices=tuple(found))
