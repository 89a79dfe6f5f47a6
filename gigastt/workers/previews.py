"""Previews: what the final of a stream would be if its audio ended here.

A copy of the stream is ended and transcribed, by the same functions as the stream itself will be; the stream notices
nothing, so that nothing about when audio came can change what it finds. Called by the engine, on the main thread.
"""

from __future__ import annotations

import copy

from gigastt import transcript
from gigastt.errors import InferenceError
from gigastt.ipc.messages import PartialMessage
from gigastt.log import get_logger
from gigastt.speech.recognizer import Transcriber
from gigastt.speech.tokens import Window
from gigastt.workers.streams import LiveTrack

log = get_logger(__name__)


def run_preview(recognizer: Transcriber, track: LiveTrack) -> tuple[PartialMessage | None, list[Window]]:
    """Answer a track's `Preview`; return the message, None if a pass failed, and the windows that took a pass."""
    track.preview = False
    ended = copy.deepcopy(track.stream)
    ended.finish()
    words: list[transcript.Word] = []
    windows: list[Window] = []
    while (utterance := ended.next_final()) is not None:
        hypothesis = utterance.hypothesis
        if hypothesis is None:
            windows.append(utterance.window)
            try:
                hypothesis = recognizer.transcribe(utterance.window)
            except InferenceError as exc:
                log.warning("preview_failed", stream=track.id, cause=str(exc))
                return None, windows
        final = ended.accept_final(utterance, hypothesis)
        words += final.words if final is not None else ()
    track.heard, track.offer = False, None  # a partial of the same audio would only say less
    heard = transcript.Partial(" ".join(word.text for word in words), tuple(words), 0, as_final=True)
    return PartialMessage(track.id, heard), windows
