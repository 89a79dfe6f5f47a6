"""The network in numpy: the weights by name and the reference that the exported file must follow.

Per block of 4 feature frames (40 ms), for one or many segments at once:

* the frames are averaged in pairs and clamped from below: pairs [2, 64];
* a noise floor per band, kept as the distance `above` of the block's mean over it, rises by `RISE` a block and
  falls exponentially when the signal is below it:  above ← leaky(above + mean − previous mean − RISE);
* both pairs over the floor and the mean itself, [192], go through a dense layer and a GRU of 24 to one probability.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

BANDS, BLOCK_FRAMES, INNER, HIDDEN = 64, 4, 24, 24
RISE, LEAK = 0.05, 0.7  # nats per block; share of the distance that is kept below the floor
LOWEST = -14.0  # nats: quieter bands do not matter (4 steps of 16-bit noise)
WEIGHTS = Path(__file__).parent / "weights.npz"

Array: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Weights:
    """The 8,281 trained numbers; GRU gates in the order reset, update, new."""

    inp_w: Array  # [192, 24]
    inp_b: Array  # [24]
    gru_w: Array  # [24, 72]
    gru_b: Array  # [72]
    gru_u: Array  # [24, 72]
    gru_c: Array  # [72]
    out_w: Array  # [48]: of the state, then of the dense layer
    out_b: Array  # [1]

    def save(self, path: Path) -> None:
        """Write an .npz file."""
        with path.open("wb") as file:
            np.savez(file, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> Weights:
        """Read an .npz file."""
        with np.load(path) as arrays:
            return cls(**{field.name: np.ascontiguousarray(arrays[field.name], np.float32) for field in fields(cls)})


def pool_blocks(frames: Array) -> Array:
    """Average clamped frames [..., 4, 64] in pairs [..., 2, 64]."""
    clamped = np.maximum(frames, np.float32(LOWEST))
    return (clamped[..., 0::2, :] + clamped[..., 1::2, :]) * np.float32(0.5)


def follow_floor(pairs: Array) -> Array:
    """Return the distance over the floor [segments, blocks, 64] of pairs [segments, blocks, 2, 64]."""
    mean = pairs.mean(axis=2)
    above, distances = np.zeros_like(mean[:, 0]), np.empty_like(mean)
    last = mean[:, 0]
    for block in range(mean.shape[1]):
        distance = above + (mean[:, block] - last) - np.float32(RISE)
        above = np.maximum(distance, distance * np.float32(LEAK))
        last = mean[:, block]
        distances[:, block] = above
    return distances


def network_input(pairs: Array, above: Array) -> Array:
    """Join pairs [..., 2, 64] over their floor and the mean into [..., 192]."""
    mean = pairs.mean(axis=-2)
    over = np.clip((pairs - (mean - above)[..., None, :]) * np.float32(0.25), np.float32(-0.5), np.float32(2.0))
    level = (mean + np.float32(8.0)) * np.float32(0.25)
    return np.concatenate([over[..., 0, :], over[..., 1, :], level], axis=-1)


def probabilities(weights: Weights, frames: Array) -> Array:
    """Run a whole segment: log-mel [4 n, 64] to one probability per block [n]."""
    pairs = pool_blocks(frames.reshape(-1, BLOCK_FRAMES, BANDS))[None]
    dense = np.maximum(network_input(pairs, follow_floor(pairs))[0] @ weights.inp_w + weights.inp_b, 0)
    state = np.zeros(HIDDEN, np.float32)
    logits = np.empty(len(dense), np.float32)
    for block, row in enumerate(dense):
        given = row @ weights.gru_w + weights.gru_b
        kept = state @ weights.gru_u + weights.gru_c
        reset, update = np.split(_sigmoid((given + kept)[: 2 * HIDDEN]), 2)
        new = np.tanh(given[2 * HIDDEN :] + reset * kept[2 * HIDDEN :])
        state = new + update * (state - new)
        logits[block] = np.concatenate([state, row]) @ weights.out_w + weights.out_b[0]
    return _sigmoid(logits)


def _sigmoid(values: Array) -> Array:
    return (1 / (1 + np.exp(-values))).astype(np.float32)
