"""Noises: synthetic sounds that are not speech, of unit deviation.

Each is a function of a length in samples and a random generator, so a seed makes the same noise again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from tools.activity.channels import SAMPLE_RATE, Waveform, normalise, reverberate, shape_spectrum
from tools.activity.music import music

Rng: TypeAlias = np.random.Generator
Noise: TypeAlias = Callable[[int, Rng], Waveform]


def colour(length: int, rng: Rng, slope: float) -> Waveform:
    """Noise whose amplitude falls with frequency to the power of `slope`: 0 white, 0.5 pink, 1 brown."""
    spectrum = np.fft.rfft(rng.standard_normal(length).astype(np.float32))
    frequencies = np.maximum(np.arange(len(spectrum)), 20 * length / SAMPLE_RATE)
    return normalise(np.fft.irfft(spectrum * (frequencies / frequencies[0]) ** -slope, length))


def white(length: int, rng: Rng) -> Waveform:
    return colour(length, rng, 0.0)


def pink(length: int, rng: Rng) -> Waveform:
    return colour(length, rng, 0.5)


def brown(length: int, rng: Rng) -> Waveform:
    return colour(length, rng, 1.0)


def vary_slowly(length: int, rng: Rng, hz: float, depth_db: float) -> Waveform:
    """A gain that wanders."""
    points = max(4, int(length / SAMPLE_RATE * hz * 2) + 2)
    places = np.arange(length) / length * (points - 1)
    gain = 10 ** (np.interp(places, np.arange(points), rng.standard_normal(points)) * depth_db / 20)
    return gain.astype(np.float32)


def random_equaliser(length: int, rng: Rng) -> Waveform:
    """White noise through a random equaliser."""
    corners = [50.0, 150, 400, 900, 1800, 3500, 7000]
    return normalise(shape_spectrum(white(length, rng), corners, np.cumsum(rng.normal(-2, 6, 7)).tolist()))


def hum(length: int, rng: Rng) -> Waveform:
    """Mains and its harmonics over faint pink noise."""
    base = float(rng.choice([50, 60, 100, 120])) * float(rng.uniform(0.995, 1.005))
    time = np.arange(length) / SAMPLE_RATE
    wave = np.zeros(length)
    for harmonic in range(1, int(rng.integers(8, 30))):
        sine = np.sin(2 * np.pi * base * harmonic * time + rng.uniform(0, 6.28))
        wave += sine * harmonic ** -float(rng.uniform(0.5, 1.3))
    return normalise(normalise(wave) + 0.15 * pink(length, rng))


def fan(length: int, rng: Rng) -> Waveform:
    """Air with a wobble and the tone of blades."""
    hiss = shape_spectrum(white(length, rng), [60, 200, 500, 1500, 4000, 8000], [0, 0, -6, -14, -24, -34])
    time = np.arange(length) / SAMPLE_RATE
    blade, wobble = float(rng.uniform(20, 140)), float(rng.uniform(0.2, 3))
    air = hiss * (1 + 0.25 * np.sin(2 * np.pi * wobble * time)) * (1 + 0.15 * np.sin(2 * np.pi * blade * time))
    tone = np.sum([np.sin(2 * np.pi * blade * k * time) / k for k in range(1, 6)], axis=0)
    return normalise(normalise(air) + float(rng.uniform(0, 0.4)) * normalise(tone))


def keyboard(length: int, rng: Rng) -> Waveform:
    """Typing: pairs of short bursts at irregular times."""
    wave = np.zeros(length, np.float32)
    seconds = 0.0
    while True:
        seconds += float(rng.exponential(0.12) + 0.05 + (rng.random() < 0.08) * rng.uniform(0.5, 2))
        at = int(seconds * SAMPLE_RATE)
        if at + 900 >= length:
            break
        for delay, amplitude in ((0, 1.0), (int(rng.integers(200, 500)), 0.5)):
            burst = int(rng.integers(100, 400))
            decay = np.exp(-5 * np.arange(burst) / burst)
            strike = rng.standard_normal(burst) * decay * amplitude * rng.uniform(0.3, 1)
            wave[at + delay : at + delay + burst] += strike.astype(np.float32)
    keys = shape_spectrum(wave, [200, 800, 2500, 8000], [-12, -3, 0, -3])
    return normalise(keys + 0.02 * pink(length, rng))


def street(length: int, rng: Rng) -> Waveform:
    """A rumble, passing cars, horns."""
    wave = normalise(colour(length, rng, 0.8)) * vary_slowly(length, rng, 0.3, 3)
    seconds = length / SAMPLE_RATE
    time = np.arange(length) / SAMPLE_RATE
    for _ in range(max(1, int(seconds / 6))):
        centre, width = float(rng.uniform(0, seconds)), float(rng.uniform(0.8, 2.5))
        car = normalise(shape_spectrum(white(length, rng), [80, 400, 1200, 6000], [0, 0, -8, -24]))
        wave = wave + car * np.exp(-(((time - centre) / width) ** 2)) * float(rng.uniform(0.5, 2.0))
    for _ in range(int(rng.poisson(seconds / 12))):
        begin, lasts, pitch = (
            float(rng.uniform(0, seconds)),
            float(rng.uniform(0.15, 0.8)),
            float(rng.uniform(300, 900)),
        )
        sounding = (time > begin) & (time < begin + lasts)
        horn = np.sum([np.sin(2 * np.pi * pitch * k * time) / k for k in (1, 2, 3, 4)], axis=0)
        wave = wave + horn * sounding * float(rng.uniform(0.3, 1.2))
    return normalise(wave)


def tones(length: int, rng: Rng) -> Waveform:
    """Telephone signals, ringing, busy or dialling, over faint line noise."""
    time = np.arange(length) / SAMPLE_RATE
    wave = 0.01 * rng.standard_normal(length)
    on, off = [(1.0, 4.0), (0.35, 0.35), (0.15, 0.1), (3.0, 0.5)][int(rng.integers(4))]
    at = float(rng.uniform(0, 2))
    while at < length / SAMPLE_RATE:
        pitches = [425.0]
        if off <= 0.1:
            pitches = [float(rng.choice([697, 770, 852, 941])), float(rng.choice([1209, 1336, 1477]))]
        sounding = (time >= at) & (time < at + on)
        wave += sounding * np.sum([np.sin(2 * np.pi * pitch * time) for pitch in pitches], axis=0)
        at += on + off
    return normalise(wave)


def babble(length: int, rng: Rng, clips: Sequence[Waveform], voices: int) -> Waveform:
    """Many people at once, in a room."""
    wave = np.zeros(length, np.float32)
    for _ in range(voices):
        parts: list[Waveform] = []
        total = -int(rng.integers(0, SAMPLE_RATE * 3))
        while total < length:
            parts.append(normalise(clips[int(rng.integers(len(clips)))]))
            total += len(parts[-1])
        wave += np.concatenate(parts)[-length:] * float(10 ** rng.uniform(-0.3, 0.1))
    return normalise(reverberate(normalise(wave), rng, 0.5, 0.6))


NOISES: dict[str, Noise] = {
    "white": white,
    "pink": pink,
    "brown": brown,
    "equaliser": random_equaliser,
    "hum": hum,
    "fan": fan,
    "keyboard": keyboard,
    "street": street,
    "music": music,
    "tones": tones,
}
