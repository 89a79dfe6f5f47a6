"""Results: what a stream found, as messages to the gateway.

Pure; called by the engine.
"""

from __future__ import annotations

from collections.abc import Sequence

from gigastt.ipc.messages import Final, Partial
from gigastt.speech.draft import PartialResult
from gigastt.speech.stream import FinalResult
from gigastt.transcript import Word
from gigastt.workers.streams import Track


def partial_message(track: Track, result: PartialResult) -> Partial:
    """Return the message of a partial."""
    return Partial(track.id, result.text, result.words, result.stable)


def preview_message(track: Track, words: Sequence[Word]) -> Partial:
    """Return the message of a final that is none yet."""
    return Partial(track.id, " ".join(word.text for word in words), tuple(words), 0, as_final=True)


def final_message(track: Track, result: FinalResult) -> Final:
    """Return the message of a final, with how far the track is."""
    return Final(
        track.id,
        result.text,
        result.words,
        result.start,
        result.end,
        result.confidence,
        result.reason,
        consumed=track.told_consumed,
        committed=track.told_committed,
        resume=result.commit.resume,
    )
