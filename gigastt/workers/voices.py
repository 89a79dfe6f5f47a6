"""Voices in a worker: the windows of an utterance, looked at while it grows, so that its final hardly waits for them.

A result is kept under its window's place and taken only for exactly that window: it does not matter when, or whether,
one was looked at ahead. Called by the engine and the work on files, on the main thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, TypeAlias

from gigastt.audio.pcm import Samples
from gigastt.errors import InferenceError
from gigastt.log import get_logger
from gigastt.speech.stream import Stream, Utterance
from gigastt.speech.tokens import FRAME_SAMPLES
from gigastt.speech.voices import WINDOW_FRAMES, VoiceWindow, voice_windows
from gigastt.transcript import Final, Voice

log = get_logger(__name__)


class FindsVoices(Protocol):
    """The port through which a worker uses a voice model; tests put a fake in its place."""

    def find(self, samples: Samples, window: VoiceWindow) -> tuple[Voice, ...]: ...


LoadVoices: TypeAlias = Callable[[], FindsVoices | None]  # None: this server has no speaker model


class VoiceTrace:
    """The voices of one utterance after another of a live stream."""

    def __init__(self, model: FindsVoices) -> None:
        self._model = model
        self._found: dict[VoiceWindow, tuple[Voice, ...]] = {}

    def next_window(self, stream: Stream) -> VoiceWindow | None:
        """Return a window of the open utterance that is known whole and has not been looked at.

        The last one is known when the utterance ends if silence goes on.
        """
        if (known := stream.open_frames) is None:
            return None
        first, end = known
        for window in voice_windows(first, end):
            is_whole = window.end - window.begin == WINDOW_FRAMES
            if window not in self._found and (is_whole or stream.in_tail):
                return window
        return None

    def look_ahead(self, stream: Stream, window: VoiceWindow) -> None:
        """Look at such a window."""
        self._found[window] = find_voices(self._model, stream.read_samples(window.context, window.end), window)

    def complete(self, utterance: Utterance, final: Final) -> Final:
        """Return the final of an ended utterance with its voices, if it has words; look at what is missing."""
        first, samples = utterance.first_frame, utterance.samples
        voices: list[Voice] = []
        if final.words and samples is not None:
            for window in voice_windows(first, utterance.last_frame):
                found = self._found.get(window)
                if found is None:
                    found = find_voices(self._model, samples[(window.context - first) * FRAME_SAMPLES :], window)
                voices += found
        self._found.clear()
        return replace(final, voices=tuple(voices))

    def needs_pass(self, utterance: Utterance) -> bool:
        """Whether an utterance whose words are known has voices that are not."""
        spoken = utterance.hypothesis is not None and utterance.hypothesis.tokens
        windows = voice_windows(utterance.first_frame, utterance.last_frame)
        return bool(spoken) and any(window not in self._found for window in windows)


def find_voices(model: FindsVoices, samples: Samples, window: VoiceWindow) -> tuple[Voice, ...]:
    """Return the voices of a window; none where the model refuses it: words are told all the same."""
    try:
        return model.find(samples, window)
    except InferenceError as exc:
        log.warning("voices_failed", cause=str(exc))
        return ()
