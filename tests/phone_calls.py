"""Telephone calls made of the bundled clips: two speakers who let each other finish, at 8 kHz, as µ-law leaves them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gigastt.audio.pcm import MULAW_TABLE
from tests.clips import load_clips
from tests.wave_files import Waveform, encode, resample

RATE = 8_000
PAUSE_SECONDS = 0.7
CLIPS = {clip.path.stem: clip for clip in load_clips()}
# Whose turn it is, and what is said.
FIRST_CALL = [(0, "festival_09"), (1, "espeak_03"), (0, "festival_18"), (1, "espeak_01")]
SECOND_CALL = [(1, "festival_01"), (0, "espeak_11"), (1, "festival_11"), (0, "espeak_19")]


def make_call(turns: Sequence[tuple[int, str]] = FIRST_CALL) -> list[Waveform]:
    """Return the two channels of a call, each silent while the other speaks."""
    channels: tuple[list[Waveform], list[Waveform]] = ([], [])
    for speaker, name in turns:
        speech = resample(CLIPS[name].pcm, RATE)
        turn = np.concatenate((speech, np.zeros(int(PAUSE_SECONDS * RATE), np.float32)))
        channels[speaker].append(turn)
        channels[1 - speaker].append(np.zeros_like(turn))
    return [np.concatenate(turns) for turns in channels]


def interleave(channels: Sequence[Waveform], encoding: str) -> bytes:
    """Return the samples of both channels in turn."""
    return encode(np.stack(channels, axis=1).ravel(), encoding)


def companded(waveform: Waveform) -> Waveform:
    """Return what the telephone network leaves of a waveform."""
    heard: Waveform = MULAW_TABLE[np.frombuffer(encode(waveform, "mulaw"), np.uint8)]
    return heard
