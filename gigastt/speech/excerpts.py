"""One utterance by itself: its window from the samples of a file, and its final from a hypothesis.

The functions that streams use as well, so that an utterance has the same words whoever recognises it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gigastt.audio.pcm import Samples
from gigastt.speech.draft import judge
from gigastt.speech.features import log_mel
from gigastt.speech.tokens import FRAME_SAMPLES, WINDOW_SAMPLES, Features, Hypothesis, Window, words_within
from gigastt.transcript import Alternative, Final, Options, Word, mean_confidence


def read_window(
    samples: Samples, first_frame: int, last_frame: int, lead: int = 0, padding: int = 0, options: Options | None = None
) -> Window:
    """Return the window of an utterance, bit for bit as a stream that was pushed the samples would.

    Args:
        samples: the whole file, int16 at 16 kHz; silence follows it.
        first_frame, last_frame: where the utterance lies, in feature frames.
        lead, padding: frames of its room to put before and behind it.
        options: what its client wants.
    """
    count = (last_frame - first_frame - 1) * FRAME_SAMPLES + WINDOW_SAMPLES
    excerpt = samples[first_frame * FRAME_SAMPLES : first_frame * FRAME_SAMPLES + count]
    if len(excerpt) < count:
        excerpt = np.concatenate((excerpt, np.zeros(count - len(excerpt), np.int16)))
    return Window(put_in_room(log_mel(excerpt), lead, padding), first_frame - lead, options=options)


def add_words(
    final: Final, hypothesis: Hypothesis | None, first_frame: int, *, is_clear: bool, min_confidence: float
) -> Final:
    """Return a final with the words of a hypothesis, or with what is left out of them and why.

    Args:
        final: the utterance's, without words.
        hypothesis: of its window; None where it could not be recognised.
        first_frame: where the utterance begins.
        is_clear: whether the detector had no doubt that this is speech.
        min_confidence: as `judge` takes it.
    """
    words = words_within(hypothesis, first_frame, final.end) if hypothesis else ()
    judged = words_within(Hypothesis(hypothesis.greedy, ()), first_frame, final.end) if hypothesis else ()
    drop = final.drop or judge(judged or words, is_clear=is_clear, min_confidence=min_confidence)
    if hypothesis is None or drop:
        return replace(final, drop=drop, dropped=words)
    tokens = tuple(token.id for token in hypothesis.tokens) if words else ()
    found = (words_within(one, first_frame, final.end) for one in hypothesis.alternatives)
    alternatives = tuple(Alternative(_text(each), each, mean_confidence(each)) for each in found if each)
    text, confidence = _text(words), mean_confidence(words)
    return replace(final, text=text, words=words, confidence=confidence, tokens=tokens, alternatives=alternatives)


def _text(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)


def put_in_room(features: Features, before: int, after: int) -> Features:
    """Return an utterance with so many frames of its room before and after it that were not recorded.

    A first and a last word need sound around them; digital silence beside a live room is worse than none. The level of
    the room in a band is that below which a fifth of its frames are.
    """
    if not (before or after):
        return features
    rank = len(features) // 5
    room = np.partition(features, rank, axis=0)[rank : rank + 1]
    return np.concatenate((np.repeat(room, before, axis=0), features, np.repeat(room, after, axis=0)))
