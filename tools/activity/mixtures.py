"""Mixtures to train on: `python -m tools.activity.mixtures --corpus DIR --out FILE --segments N --seed N`.

Segments of 24 s of synthetic speech with pauses, in noise, rooms and lines, each with a label and a loss weight
per frame of 10 ms. The corpus is the demo model's: `<split>_<n>.npy` (int16, clips one after the other) beside
`<split>_<n>.json` (a list of {off, len, voice, …}), as tools.demo_model.synthesis writes it.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gigastt.audio.pcm import Samples
from gigastt.speech.features import log_mel
from tools.activity import channels
from tools.activity.channels import SAMPLE_RATE, Waveform, from_decibels
from tools.activity.network import BANDS, BLOCK_FRAMES, Array, pool_blocks
from tools.activity.noises import NOISES, Rng, babble

SECONDS = 24
FESTIVAL = "msu_ru_nsh"  # a real voice cut into units: drawn in two of five clips
_KINDS = ("white", "pink", "brown", "equaliser", "equaliser", "hum", "fan", "keyboard", "street", "street")
KINDS = (*_KINDS, "music", "music", "tones", "babble", "babble")

Labels = npt.NDArray[np.bool_]  # [frames of 10 ms]


@dataclass(frozen=True, slots=True)
class Segment:
    """A waveform of 24 s; `labels` and loss `weights` per frame of 10 ms."""

    waveform: Waveform
    labels: Labels
    weights: Array


class Clips:
    """The corpus's clips by voice."""

    def __init__(self, folder: Path, split: str, shards: Sequence[int]) -> None:
        self._clips: dict[str, list[Samples]] = {}
        for shard in shards:
            pcm = np.load(folder / f"{split}_{shard}.npy", mmap_mode="r")
            for entry in json.loads((folder / f"{split}_{shard}.json").read_text(encoding="utf-8")):
                clip = pcm[entry["off"] : entry["off"] + entry["len"]]
                self._clips.setdefault(entry["voice"], []).append(clip)
        self._voices = sorted(self._clips)

    def draw_voice(self, rng: Rng) -> str:
        return FESTIVAL if rng.random() < 0.4 else str(rng.choice(self._voices))

    def draw(self, rng: Rng, voice: str | None = None) -> Waveform:
        pool = self._clips[voice or self.draw_voice(rng)]
        return pool[int(rng.integers(len(pool)))].astype(np.float32) / np.float32(32_768)


def label_speech(waveform: Waveform, frames: int, below_db: float = 38.0) -> Labels:
    """Label the frames of a clean clip that are near its loudest; gaps under 200 ms are closed."""
    padded = np.pad(waveform, (0, max(0, 320 - len(waveform))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 320)[::160]
    power_db = 10 * np.log10((windows**2).mean(axis=1) + 1e-10)
    loud = power_db > power_db.max() - below_db
    places = np.flatnonzero(loud)
    for before, after in itertools.pairwise(places):
        if after - before <= 20:
            loud[before:after] = True
    labels = np.zeros(frames, np.bool_)
    labels[: min(frames, len(loud))] = loud[:frames]
    return labels


class Mixer:
    """Draw segments.

    Args:
        more: kinds of noise to draw more often.
    """

    def __init__(self, clips: Clips, rng: Rng, more: Sequence[str] = (), bank_seconds: int = 40) -> None:
        self._clips, self._rng = clips, rng
        self._kinds = [*KINDS, *more]
        length = bank_seconds * SAMPLE_RATE
        self._bank = {
            kind: [make(length, rng) for _ in range(1 if kind in ("white", "pink", "brown") else 5)]
            for kind, make in NOISES.items()
        }
        voices = [clips.draw(rng) for _ in range(120)]
        self._bank["babble"] = [babble(length, rng, voices, count) for count in (5, 6, 8, 10, 14, 20)]

    def draw(self) -> Segment:
        """Draw the next segment."""
        rng = self._rng
        is_pure = rng.random() < 0.12
        waveform, labels = self._speak(is_pure)
        share = max(float(labels.mean()), 0.02)
        active = 0.1 if is_pure else float(np.sqrt((waveform**2).mean() / share))
        weights = np.ones(len(labels), np.float32)
        edges = np.flatnonzero(np.diff(labels.astype(np.int8)))
        for edge in edges:  # unsure near the borders
            weights[max(0, edge - 3) : edge + 5] = 0.4
        if rng.random() < 0.35:
            waveform = channels.reverberate(waveform, rng, float(rng.uniform(0.1, 0.7)), float(rng.uniform(0.1, 0.8)))
            for edge in edges[~labels[edges + 1]]:
                weights[edge : edge + 15] = 0.15
        if rng.random() < 0.5:
            waveform = self._equalise(waveform, 3)
        snr_db = float(rng.uniform(-5, 40) if rng.random() < 0.4 else rng.uniform(0, 22))
        if rng.random() < 0.93 or is_pure:
            noise, is_babble = self._background(len(waveform))
            if is_babble:  # hardly wrong to take babble for speech
                weights[~labels] *= 0.35
            waveform = waveform + noise * (active * from_decibels(-snr_db))
        hiss = rng.standard_normal(len(waveform)).astype(np.float32)
        return self._record(waveform + hiss * from_decibels(rng.uniform(-100, -62)), labels, weights)

    def _speak(self, is_pure: bool) -> tuple[Waveform, Labels]:
        rng, length = self._rng, SECONDS * SAMPLE_RATE
        waveform = np.zeros(length, np.float32)
        labels = np.zeros((length - 320) // 160 + 1, np.bool_)
        at = 0 if rng.random() < 0.2 else int(rng.uniform(0.1, 5) * SAMPLE_RATE)
        voice: str | None = None
        while not is_pure and at < length - SAMPLE_RATE // 2:
            if voice is None or rng.random() < 0.4:
                voice = self._clips.draw_voice(rng)
            clip = channels.change_speed(self._clips.draw(rng, voice), float(rng.uniform(0.8, 1.25)))
            if rng.random() < 0.3:
                clip = self._shorten(clip)
            at = at // 160 * 160
            clip = clip[: length - at]
            level = float(np.sqrt((clip**2).mean())) + 1e-6
            clip = clip * (0.1 / level * from_decibels(rng.normal(0, 3)))
            waveform[at : at + len(clip)] += clip
            first = at // 160
            spoken = label_speech(clip, len(clip) // 160)[: len(labels) - first]
            labels[first : first + len(spoken)] |= spoken
            pause = rng.uniform(0.15, 1.0) if rng.random() < 0.55 else rng.uniform(1, 5)
            at += len(clip) + int(pause * SAMPLE_RATE)
        return waveform, labels

    def _shorten(self, clip: Waveform) -> Waveform:
        length = int(self._rng.uniform(0.25, 1.2) * SAMPLE_RATE)
        begin = int(self._rng.integers(0, max(1, len(clip) - length)))
        piece = clip[begin : begin + length]
        ramp = np.minimum(np.arange(len(piece)), np.arange(len(piece))[::-1]) / 160
        return (piece * np.minimum(1, ramp)).astype(np.float32)

    def _background(self, length: int) -> tuple[Waveform, bool]:
        rng = self._rng
        noise, kind = self._noise(length)
        kinds = {kind}
        if rng.random() < 0.25:
            other, kind = self._noise(length)
            kinds.add(kind)
            noise = channels.normalise(noise + other * from_decibels(rng.uniform(-12, 0)))
        if rng.random() < 0.2:  # a source switched on, off or turned
            noise[int(rng.uniform(0.1, 0.9) * length) :] *= from_decibels(rng.uniform(-25, 15))
        return noise, "babble" in kinds

    def _noise(self, length: int) -> tuple[Waveform, str]:
        rng = self._rng
        kind = str(rng.choice(self._kinds))
        base = self._bank[kind][int(rng.integers(len(self._bank[kind])))]
        factor = 1.0 if kind == "tones" else float(rng.uniform(0.85, 1.18))
        needed = int(length * factor) + 4
        noise = np.take(base, np.arange(needed) + int(rng.integers(len(base))), mode="wrap")
        if factor != 1.0:
            noise = channels.change_speed(noise, factor)
        noise = noise[:length]
        if rng.random() < 0.4:
            noise = self._equalise(noise, 4)
        return channels.normalise(noise), kind

    def _equalise(self, waveform: Waveform, depth_db: float) -> Waveform:
        return channels.shape_spectrum(waveform, [60, 300, 1200, 4000, 8000], self._rng.normal(0, depth_db, 5).tolist())

    def _record(self, waveform: Waveform, labels: Labels, weights: Array) -> Segment:
        rng = self._rng
        line = rng.random()
        gain = from_decibels(rng.uniform(-30, 10)) * 1.5
        if line < 0.25:
            narrow = channels.compand(channels.pass_band(waveform, float(rng.uniform(150, 350)), 3500))
            waveform = channels.pass_band(narrow, 150, float(rng.uniform(3200, 3800)))
        elif line < 0.35:
            waveform = channels.pass_band(waveform, float(rng.uniform(50, 200)), float(rng.uniform(3600, 7000)))
        elif line < 0.42:
            waveform = channels.compand(waveform, float(rng.uniform(0.4, 1.0)))
        waveform = np.clip(waveform * gain, -1, 1).astype(np.float32)
        if rng.random() < 0.08:  # muted for a while: digital silence
            begin = int(rng.uniform(0, 0.8) * len(waveform))
            end = begin + int(rng.uniform(0.3, 4) * SAMPLE_RATE)
            waveform[begin:end] = 0
            labels[begin // 160 : end // 160] = False
        return Segment(waveform, labels, weights)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--split", default="train")
    parser.add_argument("--shards", type=int, nargs="+", default=[0])
    parser.add_argument("--more", nargs="*", default=[], help="kinds of noise to draw more often")
    parser.add_argument("--segments", type=int, default=450)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    clips = Clips(arguments.corpus, arguments.split, arguments.shards)
    mixer = Mixer(clips, np.random.default_rng(arguments.seed), arguments.more)
    pairs, labels, weights = [], [], []
    for _ in range(arguments.segments):
        segment = mixer.draw()
        features = log_mel(channels.to_samples(segment.waveform))
        blocks = len(features) // BLOCK_FRAMES
        frames = blocks * BLOCK_FRAMES
        pairs.append(pool_blocks(features[:frames].reshape(blocks, BLOCK_FRAMES, BANDS)).astype(np.float16))
        labels.append(segment.labels[:frames].reshape(blocks, BLOCK_FRAMES).sum(axis=1) >= 2)
        weights.append(segment.weights[:frames].reshape(blocks, BLOCK_FRAMES).mean(axis=1))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(arguments.out, pairs=np.stack(pairs), labels=np.stack(labels), weights=np.stack(weights))


if __name__ == "__main__":
    main()
