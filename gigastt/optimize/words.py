"""Compare two encoders in words, over a few clips that come with the program.

The clips are synthetic speech (espeak-ng): they show whether optimising changed transcripts, not how good the
model is.
"""

from __future__ import annotations

import wave
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gigastt.speech.features import log_mel
from gigastt.speech.model import TripletFiles
from gigastt.speech.recognizer import Recognizer
from gigastt.speech.tokens import Samples, Window, group_words

CLIPS = tuple(sorted((Path(__file__).parent / "clips").glob("*.wav")))


@dataclass(frozen=True, slots=True)
class WordComparison:
    """The number of words (of the longer transcript of each clip), and of those that the encoders hear differently."""

    words: int
    differing: int

    @property
    def share(self) -> float:
        """Return the differing words' share, 0 to 1."""
        return self.differing / max(self.words, 1)


def compare_words(files: TripletFiles, other_encoder: Path, clips: Sequence[Path] = CLIPS) -> WordComparison:
    """Transcribe each clip with both encoders and count the words that differ.

    Raises:
        ModelInvalid: the files are not a recogniser.
    """
    before = _transcribe(files, clips)
    after = _transcribe(replace(files, encoder=other_encoder), clips)
    pairs = list(zip(before, after, strict=True))
    return WordComparison(
        sum(max(len(old), len(new)) for old, new in pairs), sum(edit_distance(old, new) for old, new in pairs)
    )


def _transcribe(files: TripletFiles, clips: Sequence[Path]) -> list[list[str]]:
    recognizer = Recognizer.load(files)
    hypotheses = (recognizer.transcribe(Window(log_mel(read_clip(clip)), 0)) for clip in clips)
    return [[word.text for word in group_words(hypothesis.tokens)] for hypothesis in hypotheses]


def edit_distance(old: Sequence[str], new: Sequence[str]) -> int:
    """Return the fewest words to replace, leave out or put in that make `new` of `old`; at most the longer length."""
    row = list(range(len(new) + 1))
    for number, word in enumerate(old, 1):
        above, row[0] = row[0], number
        for at, other in enumerate(new, 1):
            above, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, above + (word != other))
    return row[-1]


def read_clip(path: Path) -> Samples:
    """Read a 16 kHz mono WAV of 16 bits."""
    with wave.open(str(path), "rb") as clip:
        assert (clip.getframerate(), clip.getnchannels(), clip.getsampwidth()) == (16_000, 1, 2), path.name
        return np.frombuffer(clip.readframes(clip.getnframes()), "<i2").astype(np.int16)
