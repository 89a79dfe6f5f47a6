"""Batches: utterances of similar lengths, augmented, as tensors.

Lengths are rounded up to 64 frames and the size of a batch follows from its length, so that few shapes occur:
oneDNN compiles its kernels once for each shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tools.demo_model.augmentation import Augmenter, change_speed
from tools.demo_model.corpus import Corpus, Utterance, compose_utterance, join_clips
from tools.demo_model.features import FLOOR, Tokens, log_mel
from tools.demo_model.synthesis import SAMPLE_RATE

_FRAME_STEP = 64
_DRAWN_AT_ONCE = 600


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded utterances."""

    features: Tensor  # [batch, 64, frames]
    lengths: Tensor  # frames [batch]
    targets: Tensor  # token ids [batch, tokens]
    target_lengths: Tensor  # [batch]
    seconds: float


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a batch is made of.

    budget: seconds of audio in it.
    joined: the part of its utterances that hold several sentences.
    longest: seconds of one utterance.
    augmented: the part of its utterances that is augmented.
    """

    budget: float
    joined: float
    longest: float
    augmented: float = 1.0


class BatchSource:
    """An endless stream of batches."""

    def __init__(self, corpus: Corpus, tokens: Tokens, seed: int) -> None:
        self._corpus = corpus
        self._tokens = tokens
        self._rng = np.random.default_rng(seed)
        self._augmenter = Augmenter(corpus, self._rng)
        self._queue: list[tuple[int, list[Utterance]]] = []
        self._left_over: list[Utterance] = []

    def next_batch(self, recipe: Recipe) -> Batch:
        """Make the next batch."""
        while not self._queue:
            self._fill_queue(recipe)
        frames, utterances = self._queue.pop()
        return self._build(frames, utterances, recipe.augmented)

    def _fill_queue(self, recipe: Recipe) -> None:
        groups: dict[int, list[Utterance]] = {}
        drawn = [
            compose_utterance(self._corpus, self._rng, recipe.joined, recipe.longest) for _ in range(_DRAWN_AT_ONCE)
        ]
        for utterance in self._left_over + drawn:
            frames = -(-(utterance.frames + 2) // _FRAME_STEP) * _FRAME_STEP
            group = groups.setdefault(frames, [])
            group.append(utterance)
            if len(group) >= max(1, int(recipe.budget * 100 / frames)):
                self._queue.append((frames, groups.pop(frames)))
        self._left_over = [utterance for group in groups.values() for utterance in group]
        order = self._rng.permutation(len(self._queue))
        self._queue = [self._queue[place] for place in order]

    def _build(self, frames: int, utterances: list[Utterance], augmented: float) -> Batch:
        features, ids = [], []
        for utterance in utterances:
            if utterance.clips:
                waveform = join_clips(self._corpus, utterance)
            else:
                waveform = np.zeros(int(utterance.pauses[0] * SAMPLE_RATE), np.float32)
            if utterance.speed != 1.0:
                waveform = change_speed(waveform, utterance.speed)
            augment = self._rng.random() < augmented
            if augment:
                waveform = self._augmenter.change_waveform(waveform)
            mel = log_mel(torch.from_numpy(np.ascontiguousarray(waveform, dtype=np.float32)).clamp(-1, 1))
            features.append(self._augmenter.change_features(mel) if augment else mel)
            ids.append(self._tokens.encode(utterance.text))
        return collate(features, ids, frames)


def collate(features: list[Tensor], ids: list[list[int]], frames: int = 0) -> Batch:
    """Pad log-mels [frames, 64] and token ids to one batch of at least `frames`."""
    lengths = torch.tensor([len(mel) for mel in features])
    padded = torch.full((len(features), max(frames, int(lengths.max())), 64), FLOOR)
    for row, mel in enumerate(features):
        padded[row, : len(mel)] = mel
    target_lengths = torch.tensor([len(tokens) for tokens in ids])
    targets = torch.zeros(len(ids), max(1, int(target_lengths.max())), dtype=torch.long)
    for row, tokens in enumerate(ids):
        targets[row, : len(tokens)] = torch.tensor(tokens)
    return Batch(padded.transpose(1, 2), lengths, targets, target_lengths, float(lengths.sum()) / 100)
