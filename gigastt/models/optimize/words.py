"""Compare two encoders where it counts: in words, over a few clips that come with the program.

The clips are synthetic speech (espeak-ng): they show whether optimising changed transcripts, not how good the
model is.
"""

from __future__ import annotations

import wave
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np

from gigastt.speech.features import log_mel
from gigastt.speech.hypothesis import Samples, Window, group_words
from gigastt.speech.model import TripletFiles
from gigastt.speech.recognizer import Recognizer

CLIPS = tuple(sorted((Path(__file__).parent / "clips").glob("*.wav")))


@dataclass(frozen=True, slots=True)
class WordComparison:
    """How many words the first encoder heard, and how many came out otherwise (or were added)."""

    words: int
    differing: int


def compare_words(files: TripletFiles, other_encoder: Path, clips: Sequence[Path] = CLIPS) -> WordComparison:
    """Transcribe each clip with both encoders and count what differs.

    Raises:
        ModelInvalid: the files are not a recogniser.
    """
    before = _transcribe(files, clips)
    after = _transcribe(replace(files, encoder=other_encoder), clips)
    differing = sum(_differing(old, new) for old, new in zip(before, after, strict=True))
    return WordComparison(sum(map(len, before)), differing)


def _transcribe(files: TripletFiles, clips: Sequence[Path]) -> list[list[str]]:
    recognizer = Recognizer.load(files)
    hypotheses = (recognizer.transcribe(Window(log_mel(read_clip(clip)), 0)) for clip in clips)
    return [[word.text for word in group_words(hypothesis.tokens)] for hypothesis in hypotheses]


def _differing(old: list[str], new: list[str]) -> int:
    changes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return sum(max(i2 - i1, j2 - j1) for tag, i1, i2, j1, j2 in changes if tag != "equal")


def read_clip(path: Path) -> Samples:
    """Read a 16 kHz mono WAV of 16 bits."""
    with wave.open(str(path), "rb") as clip:
        assert (clip.getframerate(), clip.getnchannels(), clip.getsampwidth()) == (16_000, 1, 2), path.name
        return np.frombuffer(clip.readframes(clip.getnframes()), "<i2").astype(np.int16)
