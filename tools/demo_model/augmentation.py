"""Augmentation: noise, reverberation, telephone bands and pitch for waveforms; warps and masks for log-mels.

The noise spectra and masks are the usual ones (SpecAugment, Park et al. 2019; vocal tract length perturbation,
Jaitly and Hinton 2013). Runs in a training process.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from tools.demo_model.corpus import Corpus
from tools.demo_model.features import FLOOR
from tools.demo_model.synthesis import SAMPLE_RATE, Waveform

_NOISE_SECONDS = 60
_NOISE_SLOPES = (0.0, 0.5, 1.0, 1.5)  # white to brown
_MASK_LEVEL = -8.0  # about the mean of a log-mel
_MELS = 64


class Augmenter:
    """Changes waveforms and log-mels at random; one for each training process."""

    def __init__(self, corpus: Corpus, rng: np.random.Generator) -> None:
        self._corpus = corpus
        self._rng = rng
        self._noises = [self._coloured_noise(slope) for slope in _NOISE_SLOPES]

    def change_waveform(self, waveform: Waveform) -> Waveform:
        """Put a waveform into a room, into noise, behind a telephone, nearer or farther."""
        rng = self._rng
        if rng.random() < 0.25:
            waveform = self._reverberate(waveform)
        if rng.random() < 0.5:
            ratio_db = float(rng.uniform(3, 30))
            loudness = float(np.sqrt((waveform**2).mean())) + 1e-5
            waveform = waveform + self._noise(len(waveform)) * np.float32(loudness * 10 ** (-ratio_db / 20))
        elif rng.random() < 0.6:
            waveform = waveform + self._noise(len(waveform)) * np.float32(10 ** rng.uniform(-5, -2.7))
        if rng.random() < 0.12:
            waveform = _filter_band(waveform, float(rng.uniform(150, 350)), float(rng.uniform(3200, 3900)))
        return waveform * np.float32(10 ** rng.uniform(-1.2, 0.1))

    def change_features(self, features: Tensor) -> Tensor:
        """Warp the vocal tract, equalise and mask a log-mel [frames, 64]."""
        rng = self._rng
        if rng.random() < 0.5:
            position = (torch.arange(_MELS) * float(rng.uniform(0.86, 1.14))).clamp(max=_MELS - 1.0)
            below = position.long().clamp(max=_MELS - 2)
            features = torch.lerp(features[:, below], features[:, below + 1], (position - below)[None, :])
        if rng.random() < 0.5:
            angle = torch.arange(_MELS) / _MELS * math.pi
            curve = sum(float(rng.normal()) * 0.8 * torch.cos(order * angle) for order in range(1, 4))
            features = (features + curve).clamp(min=FLOOR)
        features = features.clone()
        for _ in range(2):
            width = int(rng.integers(0, 11))
            low = int(rng.integers(0, _MELS - width))
            features[:, low : low + width] = _MASK_LEVEL
        for _ in range(int(rng.integers(0, 1 + max(1, len(features) // 90)))):
            width = int(rng.integers(1, 14))
            begin = int(rng.integers(0, max(1, len(features) - width)))
            features[begin : begin + width] = _MASK_LEVEL
        return features

    def _noise(self, length: int) -> Waveform:
        """Return noise of variance one: coloured, babble of other clips, or coloured with a hum."""
        rng, roll = self._rng, self._rng.random()
        if roll < 0.2:
            noise = np.zeros(length, np.float32)
            for _ in range(int(rng.integers(2, 6))):
                clip = self._corpus.clips[int(rng.integers(len(self._corpus.clips)))]
                noise += np.resize(self._corpus.waveform(clip), length) * np.float32(rng.uniform(0.3, 1))
        else:
            base = self._noises[int(rng.integers(len(self._noises)))]
            begin = int(rng.integers(0, len(base) - 1))
            noise = np.resize(base[begin : begin + length] if length < len(base) else base, length).copy()
            if roll > 0.9:
                seconds = np.arange(length, dtype=np.float32) / SAMPLE_RATE
                for harmonic in range(1, 5):
                    phase = 2 * np.pi * harmonic * float(rng.uniform(45, 400)) * seconds
                    noise += np.sin(phase).astype(np.float32) * np.float32(rng.uniform(0, 2))
        return noise / (noise.std() + np.float32(1e-6))

    def _coloured_noise(self, slope: float) -> Waveform:
        length = _NOISE_SECONDS * SAMPLE_RATE
        spectrum = torch.fft.rfft(torch.from_numpy(self._rng.standard_normal(length).astype(np.float32)))
        frequency = torch.arange(len(spectrum)).float().clamp(min=20 * length / SAMPLE_RATE)
        noise = torch.fft.irfft(spectrum * frequency**-slope, length)
        coloured: Waveform = (noise / noise.std()).numpy()
        return coloured

    def _reverberate(self, waveform: Waveform) -> Waveform:
        length = int(float(self._rng.uniform(0.08, 0.45)) * SAMPLE_RATE)
        decay = np.exp(-6.9 * np.arange(length, dtype=np.float32) / length)
        response = self._rng.standard_normal(length).astype(np.float32) * decay
        response *= float(self._rng.uniform(0.1, 0.6)) / (np.sqrt((response**2).sum()) + 1e-9)
        response[0] = 1.0
        size = _power_of_two(len(waveform) + length)
        spectrum = torch.fft.rfft(torch.from_numpy(waveform), size) * torch.fft.rfft(torch.from_numpy(response), size)
        reverberant: Waveform = torch.fft.irfft(spectrum, size)[: len(waveform)].numpy()
        return reverberant


def change_speed(waveform: Waveform, speed: float) -> Waveform:
    """Play faster or slower; the pitch goes with it."""
    places = np.arange(0, len(waveform) - 1, speed)
    return np.interp(places, np.arange(len(waveform)), waveform).astype(np.float32)


def _filter_band(waveform: Waveform, low_hz: float, high_hz: float) -> Waveform:
    size = _power_of_two(len(waveform))
    spectrum = torch.fft.rfft(torch.from_numpy(waveform), size)
    frequency = torch.arange(len(spectrum)) * (SAMPLE_RATE / size)
    spectrum[(frequency < low_hz) | (frequency > high_hz)] = 0
    filtered: Waveform = torch.fft.irfft(spectrum, size)[: len(waveform)].numpy()
    return filtered


def _power_of_two(length: int) -> int:
    return 1 << (length - 1).bit_length()
