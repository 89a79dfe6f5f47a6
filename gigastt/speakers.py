"""The book of speakers: which voices of a session or file belong to one person.

A fold over finals in order, with no I/O and no clock; owned by whoever tells the finals to a client, so that no
worker's death loses it. Each final's words get their speaker when it comes, for good; at the end all voices are grouped
once more, together, which is what a file is told. Both follow from the finals alone.

    final ──label──→ final with speakers, final            voices kept ──settle──→ speakers of the whole
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gigastt.config import MOST_TOLD_APART
from gigastt.grouping import group_vectors
from gigastt.transcript import Final, HeardSpeaker, HeardSpeakers, Voice, Word

_SURE_SECONDS = 1.0  # of a voice alone: a shorter one opens no group
_MOST_GROUPED = 5_000  # voices, of over five hours of speech; the others join the nearest group
_SHARPNESS = 10.0  # of a confidence: similarities of 0.6 and 0.3 are 95 to 5
_NAMED = 0.9  # of the similarity that makes two voices one: so like must a speaker be to the named one

_Vectors = npt.NDArray[np.float32]  # [voices, size], of length 1


@dataclass(frozen=True, slots=True)
class KnownSpeaker:
    """A speaker whom the client has named, and how the voice sounds (as in `Voice`)."""

    name: str
    embedding: bytes


@dataclass(frozen=True, slots=True)
class SpeakerWishes:
    """A client's wishes about the speakers, and facts that it knows of them.

    speakers: how many there are; 0 if that is not known.
    most: how many there may be.
    tells_embeddings: whether the answer has them.
    """

    speakers: int = 0
    most: int = MOST_TOLD_APART
    known: tuple[KnownSpeaker, ...] = ()
    tells_embeddings: bool = False


@dataclass(frozen=True, slots=True)
class NamedAudio:
    """A speaker whose voice is to be learnt from a recording."""

    name: str
    audio: bytes


@dataclass(frozen=True, slots=True)
class SpeakerFields:
    """A client's wishes, and recordings of the speakers that it knows."""

    wishes: SpeakerWishes = field(default_factory=SpeakerWishes)
    recordings: tuple[NamedAudio, ...] = ()


@dataclass(frozen=True, slots=True)
class _Said:
    """The words of one final, and for each which of the book's voices says it; -1 for none."""

    words: tuple[Word, ...]
    voices: tuple[int, ...]


class Book(Protocol):
    """The port of both books."""

    def label(self, final: Final) -> Final: ...

    def settle(self) -> HeardSpeakers: ...


class SpeakerBook:
    """The speakers of one channel, by their voices.

    Args:
        likeness: the mean similarity (cosine) from which on voices are one person's, of the speaker model.
    """

    def __init__(self, wishes: SpeakerWishes, likeness: float) -> None:
        self._wishes = wishes
        self._likeness = likeness
        self._most = wishes.speakers or wishes.most
        self._voices: list[_Vectors] = []
        self._alone: list[float] = []
        self._said: list[_Said] = []
        self._sums: list[_Vectors] = []  # of the voices of each speaker so far, in order of appearance

    def label(self, final: Final) -> Final:
        """Take a final; return it with the speaker of each word, as far as that is known now."""
        if not final.words:
            return replace(final, voices=())
        first = len(self._voices)
        for voice in final.voices:
            self._voices.append(np.frombuffer(voice.embedding, "<f2").astype(np.float32))
            self._alone.append(voice.alone)
        heard = tuple(_voice_of(word, final.voices) for word in final.words)
        self._said.append(_Said(final.words, tuple(first + one if one >= 0 else -1 for one in heard)))
        places = {one: self._place(final.voices[one]) for one in dict.fromkeys(heard) if one >= 0}
        names = self._names(_unit(np.stack(self._sums))) if self._sums else {}
        words = tuple(
            _say(word, *places[one], names) if one >= 0 else word for word, one in zip(final.words, heard, strict=True)
        )
        return replace(final, words=words, voices=())

    def settle(self) -> HeardSpeakers:
        """Group all voices; return the speakers of the whole, numbered in order of appearance."""
        if not self._voices:
            return HeardSpeakers((), tuple(said.words for said in self._said), self._wishes.tells_embeddings)
        vectors, alone = np.stack(self._voices), np.array(self._alone, np.float32)
        sure = np.flatnonzero(alone >= _SURE_SECONDS)[:_MOST_GROUPED]
        if len(sure) < max(1, self._wishes.speakers):
            sure = np.arange(min(len(vectors), _MOST_GROUPED))
        groups = group_vectors(vectors[sure], self._likeness, self._wishes.speakers, self._most)
        weights = np.maximum(alone[sure], 0.1)[:, None]
        centres = _unit(
            np.stack([(vectors[sure] * weights)[groups == group].sum(axis=0) for group in range(groups.max() + 1)])
        )
        similar = vectors @ centres.T
        numbers: dict[int, int] = {}
        for said in self._said:
            for voice in said.voices:
                if voice >= 0:
                    numbers.setdefault(int(similar[voice].argmax()), len(numbers))
        names = self._names(centres[list(numbers)]) if numbers else {}
        finals = tuple(tuple(self._settled_words(said, similar, numbers, names)) for said in self._said)
        words = [word for final in finals for word in final]
        return HeardSpeakers(
            tuple(
                HeardSpeaker(
                    number, names.get(number, ""), _seconds(words, number), centres[group].astype("<f2").tobytes()
                )
                for group, number in numbers.items()
            ),
            finals,
            self._wishes.tells_embeddings,
        )

    def _settled_words(
        self, said: _Said, similar: npt.NDArray[np.float32], numbers: dict[int, int], names: dict[int, str]
    ) -> Iterator[Word]:
        for word, voice in zip(said.words, said.voices, strict=True):
            if voice < 0:
                yield word
                continue
            group = int(similar[voice].argmax())
            number = numbers[group]
            confidence = _confidence(similar[voice][list(numbers)], number)
            yield _say(word, number, confidence, names)

    def _place(self, voice: Voice) -> tuple[int, float]:
        """Return the speaker of a voice (the most similar one so far, or a new one), and how certain that is."""
        vector = np.frombuffer(voice.embedding, "<f2").astype(np.float32)
        weighted = vector * np.float32(max(voice.alone, 0.1))
        similar = _unit(np.stack(self._sums)) @ vector if self._sums else np.empty(0, np.float32)
        is_new = not len(similar) or (float(similar.max()) < self._likeness and voice.alone >= _SURE_SECONDS)
        if is_new and len(similar) < self._most:
            self._sums.append(weighted)
            return len(similar), _confidence(np.append(similar, np.float32(1.0)), len(similar))
        number = int(similar.argmax())
        self._sums[number] = self._sums[number] + weighted
        return number, _confidence(similar, number)

    def _names(self, centres: _Vectors) -> dict[int, str]:
        """Return the names of those speakers who are like a known one: the most alike first, each name once."""
        known = [one for one in self._wishes.known if len(one.embedding) == 2 * centres.shape[1]]
        if not known:
            return {}
        similar = centres @ _unit(np.stack([np.frombuffer(one.embedding, "<f2") for one in known]).astype(np.float32)).T
        names: dict[int, str] = {}
        for flat in np.argsort(-similar, axis=None, kind="stable"):
            speaker, number = divmod(int(flat), len(known))
            if similar[speaker, number] < _NAMED * self._likeness:
                break
            if speaker not in names and known[number].name not in names.values():
                names[speaker] = known[number].name
        return names


class ChannelBook:
    """The speakers of a call with one of them on each channel, for which no model is needed."""

    def __init__(self) -> None:
        self._finals: list[tuple[Word, ...]] = []

    def label(self, final: Final) -> Final:
        """Take a final; return it with its channel as the speaker."""
        words = tuple(replace(word, speaker=final.channel, speaker_confidence=1.0) for word in final.words)
        if words:
            self._finals.append(words)
        return replace(final, words=words)

    def settle(self) -> HeardSpeakers:
        """Return the speakers of the whole."""
        words = [word for final in self._finals for word in final]
        channels = sorted({word.speaker for word in words})
        speakers = tuple(HeardSpeaker(one, "", _seconds(words, one)) for one in channels)
        return HeardSpeakers(speakers, tuple(self._finals))


def is_embedding(data: bytes) -> bool:
    """Tell whether bytes are numbers as in `Voice`, of any count."""
    return len(data) % 2 == 0 and bool(np.isfinite(np.frombuffer(data, "<f2")).all())


def with_speakers(finals: Sequence[Final], heard: HeardSpeakers) -> list[Final]:
    """Return finals, of which those with words are all that `heard` has the words of, with those."""
    words = iter(heard.finals)
    return [replace(final, words=next(words)) if final.words else final for final in finals]


def _say(word: Word, speaker: int, confidence: float, names: Mapping[int, str]) -> Word:
    return replace(word, speaker=speaker, speaker_confidence=confidence, speaker_name=names.get(speaker, ""))


def _voice_of(word: Word, voices: Sequence[Voice]) -> int:
    """Return which voice says a word: the one heard longest in it, else the one heard nearest to it; -1 for none."""
    begin, end = round(word.start * 100), max(round(word.end * 100), round(word.start * 100) + 1)
    best, chosen = (0, -(10**9)), -1
    for number, voice in enumerate(voices):
        spans = list(zip(voice.spans[::2], voice.spans[1::2], strict=True))
        overlap = sum(max(0, min(end, last) - max(begin, first)) for first, last in spans)
        distance = min(max(first - end, begin - last, 0) for first, last in spans)
        if (overlap, -distance) > best:
            best, chosen = (overlap, -distance), number
    return chosen


def _seconds(words: Sequence[Word], speaker: int) -> float:
    return round(sum(word.end - word.start for word in words if word.speaker == speaker), 2)


def _unit(vectors: _Vectors) -> _Vectors:
    scaled: _Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return scaled


def _confidence(similar: npt.NDArray[np.float32], chosen: int) -> float:
    """Return how much of all similarities is the chosen one's."""
    weights = np.exp(_SHARPNESS * (similar - similar.max()))
    return round(float(weights[chosen] / weights.sum()), 4)


def turns_of(final: Final) -> list[Final]:
    """Return an utterance cut where its speaker changes; as it is where speakers are not told apart."""
    runs = [list(run) for _, run in groupby(final.words, key=lambda word: word.speaker)]
    if len(runs) < 2:
        return [final]
    starts = [final.start, *(run[0].start for run in runs[1:])]
    ends = [*(run[-1].end for run in runs[:-1]), final.end]
    return [
        replace(final, text=" ".join(word.text for word in run), words=tuple(run), start=start, end=end)
        for run, start, end in zip(runs, starts, ends, strict=True)
    ]


def speaker_title(word: Word) -> str:
    """Return what a reader is told of a speaker."""
    return word.speaker_name or f"Speaker {word.speaker}"
