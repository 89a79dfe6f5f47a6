"""Corpus: clips of synthetic speech on disk, and how they are put together into utterances.

Numpy only. A corpus is read through memory maps, so that several training processes share it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tools.demo_model.synthesis import FESTIVAL_VOICE, SAMPLE_RATE, Waveform


@dataclass(frozen=True, slots=True)
class Clip:
    """One spoken sentence: where its samples lie, and what is said by whom."""

    shard: int
    offset: int
    length: int
    text: str
    engine: str
    voice: str

    @property
    def seconds(self) -> float:
        return self.length / SAMPLE_RATE


class Corpus:
    """The clips of one split (train, dev or test).

    Args:
        folder: where the shards are.
        split: which of them.
        festival_share: of the drawn clips; the harder engine gets more than its part of the corpus.
    """

    def __init__(self, folder: Path, split: str, festival_share: float = 0.68) -> None:
        self.clips: list[Clip] = []
        self.by_voice: dict[str, list[int]] = {}
        self._festival_share = festival_share
        self._shards: list[npt.NDArray[np.int16]] = []
        for index in sorted(folder.glob(f"{split}_*.json"), key=lambda path: int(path.stem.rsplit("_", 1)[1])):
            self._add_shard(index)

    def waveform(self, clip: Clip) -> Waveform:
        """Return a clip's samples, -1 to 1."""
        samples = self._shards[clip.shard][clip.offset : clip.offset + clip.length]
        return samples.astype(np.float32) / np.float32(32768)

    def draw(self, rng: np.random.Generator) -> Clip:
        """Draw a clip: festival's share first, then any of espeak's."""
        festival = self.by_voice[FESTIVAL_VOICE]
        if rng.random() < self._festival_share:
            return self.clips[festival[int(rng.integers(len(festival)))]]
        while True:
            clip = self.clips[int(rng.integers(len(self.clips)))]
            if clip.engine == "espeak":
                return clip

    def _add_shard(self, index: Path) -> None:
        self._shards.append(np.load(index.with_suffix(".npy"), mmap_mode="r"))
        for row in json.loads(index.read_text(encoding="utf-8")):
            self.by_voice.setdefault(row["voice"], []).append(len(self.clips))
            self.clips.append(_clip(len(self._shards) - 1, row))


def _clip(shard: int, row: dict[str, Any]) -> Clip:
    return Clip(shard, row["off"], row["len"], row["text"], row["engine"], row["voice"])


@dataclass(slots=True)
class Utterance:
    """Clips with pauses around them.

    pauses: seconds before, between and after the clips: one more than there are clips.
    speed: 1.1 is ten percent faster, and higher.
    """

    clips: list[Clip]
    pauses: list[float]
    speed: float = field(default=1.0)

    @property
    def seconds(self) -> float:
        return (sum(self.pauses) + sum(clip.seconds for clip in self.clips)) / self.speed

    @property
    def frames(self) -> int:
        """Feature frames of 10 ms, give or take one."""
        return int(self.seconds * 100) - 1

    @property
    def text(self) -> str:
        return " ".join(clip.text for clip in self.clips)


def join_clips(corpus: Corpus, utterance: Utterance) -> Waveform:
    """Return an utterance's samples at its natural speed."""
    parts = [np.zeros(int(utterance.pauses[0] * SAMPLE_RATE), np.float32)]
    for clip, pause in zip(utterance.clips, utterance.pauses[1:], strict=True):
        parts += [corpus.waveform(clip), np.zeros(int(pause * SAMPLE_RATE), np.float32)]
    return np.concatenate(parts)


def compose_utterance(corpus: Corpus, rng: np.random.Generator, joined: float, longest: float) -> Utterance:
    """Draw an utterance: mostly one sentence, now and then none at all.

    Args:
        joined: the part of the utterances that hold several sentences, mostly of one voice.
        longest: seconds.
    """
    if rng.random() < 0.03:
        return Utterance([], [float(rng.uniform(0.7, 5))])
    first = corpus.draw(rng)
    while first.seconds > longest - 1:
        first = corpus.draw(rng)
    clips, pauses = [first], [float(rng.uniform(0.02, 0.5)), float(rng.uniform(0.02, 0.6))]
    if rng.random() < joined:
        _append_clips(corpus, rng, clips, pauses, longest)
    utterance = Utterance(clips, pauses)
    if rng.random() < 0.25:
        # festival is one real speaker: vary the pitch more
        low, high = (0.86, 1.16) if first.engine == "festival" else (0.92, 1.1)
        utterance.speed = float(rng.uniform(low, high))
    return utterance


def _append_clips(
    corpus: Corpus, rng: np.random.Generator, clips: list[Clip], pauses: list[float], longest: float
) -> None:
    same_voice = corpus.by_voice[clips[0].voice] if rng.random() < 0.8 else range(len(corpus.clips))
    for _ in range(int(rng.integers(1, 4))):
        clip = corpus.clips[same_voice[int(rng.integers(len(same_voice)))]]
        gap = float(rng.uniform(0.2, 2.0))
        if sum(pauses) + gap + sum(other.seconds for other in [*clips, clip]) > longest:
            return
        clips.append(clip)
        pauses.insert(-1, gap)
