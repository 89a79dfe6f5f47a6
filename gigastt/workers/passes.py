"""Passes over several windows of which each must have its result. Called by the engine, on the main thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from gigastt.errors import InferenceError
from gigastt.speech.recognizer import Transcriber
from gigastt.speech.tokens import Hypothesis, Window

Attempt: TypeAlias = Hypothesis | InferenceError


def transcribe_each(recognizer: Transcriber, windows: Sequence[Window]) -> list[Attempt]:
    """Transcribe windows in one pass; where that fails, each alone: one that cannot be costs the others nothing."""
    if len(windows) > 1:
        try:
            return [*recognizer.transcribe_batch(windows)]
        except InferenceError:
            pass
    attempts: list[Attempt] = []
    for window in windows:
        try:
            attempts.append(recognizer.transcribe(window))
        except InferenceError as exc:
            attempts.append(exc)
    return attempts
