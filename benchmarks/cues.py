"""Cues: what makes the benchmark model's tokens come as in speech, where random weights alone give clumps of them.

A few channels of the encoder hear how the spectrum changes and are left alone by the random layers; a few units
of the joint's hidden layer read them, with two bits of memory in the predictor:

    loudness rises ─► a token that opens a word ─► loudness falls ─► one that closes it ─► rises …

A token leaves its kind in the predictor, which allows the other kind next: speech of any pace gives some tokens a
second, a steady sound and silence none. *Which* token it is follows from how the shape of the spectrum changes, as
a few bits, and from the token before. Pure arrays; knows no graph.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BITS = 6  # of the spectrum's shape: the signs of its changes in as many cosines
ONE = 1 + BITS  # a channel that is always 1 before the first layer norm, and behind it tells what became of a 1
ZERO = 2 + BITS  # and of a 0
CHANNELS = 3 + BITS  # channel 0 is the change in loudness
MEMORY = 2  # the predictor's first states: the last token's kind, and its first bit
UNITS = 5 + 2 * BITS  # of the joint's hidden layer

RISE = 1.5  # nats within 40 ms at which a word opens; gives about 4 tokens a second of speech
FALL = 0.3  # at which it closes: soon after, so that the next rise can be answered
_PER_NAT = 0.1  # the channels' scale
_STEP_WIDTH = 0.2  # nats over which "no" becomes "yes"
_BIT_WIDTH = 0.05
_FORBIDS = 100.0  # what the last token's kind subtracts from its own gate
_SURE = 3.0  # half of what the score changes with a bit
_CLOSED = -_SURE * (BITS + 1) - 8.0  # even the token that fits best loses to the blank
_OPENED = 20.0
_RUNNER_UP = -8.0  # a token whose bits another one has as well
_NEVER = -40.0
Array = npt.NDArray[np.float32]


def listening(mel: int) -> tuple[Array, Array]:
    """Return weight [1 + BITS, mel, 5] and bias of the first convolution: cosines of 20 ms of spectrum, upside down.

    Upside down, because a convolution pads with zeros: what is beyond the edge must sound loud, so that a window
    seems to begin with a fall, which says nothing. Only what came before is looked at: no end has an edge, and a
    token comes some 0.1 s after its sound, as those of a trained model do.
    """
    cosines = np.cos(np.pi * np.outer(np.arange(1 + BITS), np.arange(mel) + 0.5) / mel) / mel
    cosines[1:] *= math.sqrt(2.0)
    taps = np.array([0.5, 0.5, 0.0, 0.0, 0.0])
    weight = -_PER_NAT * cosines[:, :, None] * taps
    bias = np.full(1 + BITS, 2.0)
    bias[0] = 0.6  # log-mel lies between -20.7 and 6
    return weight.astype(np.float32), bias.astype(np.float32)


def comparing(inputs: int) -> tuple[Array, Array]:
    """Return weight [CHANNELS, inputs, 5] and bias of the second convolution: a spectrum less that 40 ms before."""
    weight = np.zeros((CHANNELS, inputs, 5))
    for channel in range(1 + BITS):
        weight[channel, channel] = [1.0, 0.0, -1.0, 0.0, 0.0]
    bias = np.ones(CHANNELS)
    bias[ZERO] = 0.0
    return weight.astype(np.float32), bias.astype(np.float32)


def get_scale(encoded: Array) -> float:
    """Return what became of a 1 in the encoder's output [width, time]."""
    return float((encoded[ONE] - encoded[ZERO]).mean())


@dataclass(frozen=True, slots=True)
class Reading:
    """The joint's hidden units that read the cues: weights from the encoder's channels and the predictor's states."""

    encoder: Array  # [CHANNELS, UNITS]
    prediction: Array  # [MEMORY, UNITS]
    bias: Array  # [UNITS]


def read(scale: float) -> Reading:
    """Return the units: pairs whose difference goes from 0 to 1 for rise, fall and every bit, and the last bit.

    Args:
        scale: what becomes of a 1 on its way through the encoder.
    """
    encoder, prediction, bias = np.zeros((CHANNELS, UNITS)), np.zeros((MEMORY, UNITS)), np.zeros(UNITS)
    steps = [(0, 1.0, RISE, _STEP_WIDTH), (0, -1.0, FALL, _STEP_WIDTH)]
    steps += [(1 + bit, 1.0, 0.0, _BIT_WIDTH) for bit in range(BITS)]
    for step, (channel, sign, threshold, width) in enumerate(steps):
        unit = slice(2 * step, 2 * step + 2)
        # The channel less the 1, less the threshold: right whatever the layer norms made of the frame.
        steepness = 1.0 / (width * _PER_NAT * scale)
        encoder[channel, unit] += sign * steepness
        encoder[ONE, unit] -= (sign + threshold * _PER_NAT) * steepness
        encoder[ZERO, unit] += threshold * _PER_NAT * steepness
        bias[unit] = [0.5, -0.5]
    for kind, sign in enumerate((1.0, -1.0)):  # 1: the last token opened a word
        prediction[0, 2 * kind : 2 * kind + 2] = -_FORBIDS * sign
        bias[2 * kind : 2 * kind + 2] -= _FORBIDS
    prediction[1, -1] = 1.0
    return Reading(encoder.astype(np.float32), prediction.astype(np.float32), bias.astype(np.float32))


@dataclass(frozen=True, slots=True)
class Tokens:
    """What tokens have to do with the cues; V counts the blank, which is last.

    memory: [V, MEMORY], +1 or -1: what a token leaves in the predictor.
    scores: [UNITS, V] and bias [V]: the joint's last layer, as far as it reads the cues.
    """

    memory: Array
    scores: Array
    bias: Array


def assign(opening: npt.NDArray[np.bool_], closing: npt.NDArray[np.bool_], seed: int) -> Tokens:
    """Deal the combinations of bits out to the tokens of either kind; tokens of neither kind are never emitted.

    Args:
        opening, closing: [V], which tokens are of the kind.
    """
    random = np.random.default_rng(seed)
    size = opening.size
    memory = np.stack([np.where(opening, 1.0, -1.0), -np.ones(size)], axis=1)
    scores, bias = np.zeros((UNITS, size)), np.full(size, _NEVER)
    bias[-1] = 0.0
    combinations = 2 * ((np.arange(2 ** (BITS + 1))[:, None] >> np.arange(BITS + 1)) & 1) - 1
    for kind, members in enumerate((opening, closing)):
        tokens = random.permutation(np.flatnonzero(members))
        codes = np.resize(combinations, (len(tokens), BITS + 1)) * _SURE
        scores[2 * kind, tokens], scores[2 * kind + 1, tokens] = _OPENED, -_OPENED
        scores[4 : 4 + 2 * BITS : 2, tokens] = 2 * codes[:, :BITS].T
        scores[5 : 5 + 2 * BITS : 2, tokens] = -2 * codes[:, :BITS].T
        scores[-1, tokens] = 2 * codes[:, BITS]
        bias[tokens] = _CLOSED - codes.sum(axis=1)
        bias[tokens[len(combinations) :]] += _RUNNER_UP
        memory[tokens, 1] = np.sign(codes[:, 0])
    return Tokens(memory.astype(np.float32), scores.astype(np.float32), bias.astype(np.float32))
