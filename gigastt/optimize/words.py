"""Judge an encoder by words: how many more are wrong than with the fp32 encoder, over real speech that comes along.

The clips are telephone prompts in Russian with their texts. Each encoder transcribes each of them twice, with the front
end as published and with its window and mel matrix not rounded: eight bits answer to the least change of the features
with noise, which one pass alone would take for quality or for its loss.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from gigastt.audio.decode import decode
from gigastt.audio.pcm import Samples
from gigastt.speech.features import log_mel, log_mel_unrounded
from gigastt.speech.model import CtcFiles, TripletFiles
from gigastt.speech.recognizer import Recognizer
from gigastt.speech.tokens import Features, Window, group_words

MOST_POINTS = 0.2  # of word error rate that an encoder may cost and still be the default
_CLIPS = Path(__file__).parent / "clips"
_FRONT_ENDS: tuple[Callable[[Samples], Features], ...] = (log_mel, log_mel_unrounded)
_MAX_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording and the words said in it, in lower case."""

    samples: Samples
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hearing:
    """The score of one encoder over the clips, both front ends together.

    words: said. errors: of them heard wrong, left out or put in. confidence: the mean of the words heard, 0 to 1.
    """

    words: int
    errors: int
    confidence: float

    @property
    def error_rate(self) -> float:
        """Word error rate in percent."""
        return 100.0 * self.errors / max(self.words, 1)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Two encoders over the same clips."""

    before: Hearing
    after: Hearing

    @property
    def points(self) -> float:
        """Points of word error rate that the second one costs; negative where it is better."""
        return self.after.error_rate - self.before.error_rate

    @property
    def is_telling(self) -> bool:
        """Whether the words tell anything: the first one hears fewer wrong than there are."""
        return self.before.errors < self.before.words

    @property
    def is_good(self) -> bool:
        """Whether the second one may be the default."""
        return self.points <= MOST_POINTS or not self.is_telling


@cache
def load_clips() -> tuple[Clip, ...]:
    """Read the clips that come along, 243 s."""
    lines = (_CLIPS / "texts.tsv").read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines)
    return tuple(Clip(read_clip(_CLIPS / name), plain_words(text)) for name, text in rows)


def judge_words(files: TripletFiles | CtcFiles, other_encoder: Path, clips: Sequence[Clip] | None = None) -> Judgement:
    """Transcribe each clip with both encoders and count the words heard wrong.

    Raises:
        ModelInvalid: the files are not a recogniser.
    """
    clips = load_clips() if clips is None else clips
    return Judgement(_listen(files, clips), _listen(replace(files, encoder=other_encoder), clips))


def plain_words(text: str) -> tuple[str, ...]:
    """Return the words of a text as they are compared: lower case, letters only, ё as е."""
    return tuple(re.sub(r"[^а-я ]", " ", text.lower().replace("ё", "е")).split())


def edit_distance(old: Sequence[str], new: Sequence[str]) -> int:
    """Return the fewest words to replace, leave out or put in that make `new` of `old`; at most the longer length."""
    row = list(range(len(new) + 1))
    for number, word in enumerate(old, 1):
        above, row[0] = row[0], number
        for at, other in enumerate(new, 1):
            above, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, above + (word != other))
    return row[-1]


def _listen(files: TripletFiles | CtcFiles, clips: Sequence[Clip]) -> Hearing:
    recognizer = Recognizer.load(files)
    said = errors = 0
    confidences: list[float] = []
    for clip in clips:
        for extract in _FRONT_ENDS:
            words = group_words(recognizer.transcribe(Window(extract(clip.samples), 0)).tokens)
            heard = plain_words(" ".join(word.text for word in words))
            said += len(clip.words)
            errors += edit_distance(clip.words, heard)
            confidences += [word.confidence for word in words]
    return Hearing(said, errors, round(float(np.mean(confidences)) if confidences else 0.0, 4))


def read_clip(path: Path) -> Samples:
    """Decode a recording, 16 kHz mono."""
    with path.open("rb") as file:
        return np.concatenate(list(decode(file, _MAX_SECONDS)))
