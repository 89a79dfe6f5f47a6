"""WAV files made in memory: any rate, one channel, in the encodings of the live protocol; and law bytes."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt
import soxr

from gigastt.audio.pcm import ALAW_TABLE, MULAW_TABLE

Waveform = npt.NDArray[np.float32]  # [samples], full scale at ±1

_FORMATS = {"pcm_s16le": (1, 16), "pcm_f32le": (3, 32), "alaw": (6, 8), "mulaw": (7, 8)}  # WAVE format tag, bits


def resample(pcm: bytes, rate: int) -> Waveform:
    """Bring 16 kHz PCM16 to another rate."""
    waveform = np.frombuffer(pcm, dtype="<i2").astype(np.float32) / np.float32(32_768)
    resampled: Waveform = soxr.resample(waveform, 16_000, rate)
    return resampled.astype(np.float32)


def encode(waveform: Waveform, encoding: str) -> bytes:
    """Return a waveform's bytes in an encoding of the live protocol."""
    if encoding == "pcm_f32le":
        return waveform.astype("<f4").tobytes()
    if encoding == "pcm_s16le":
        return np.clip(np.rint(waveform * 32_768), -32_768, 32_767).astype("<i2").tobytes()
    table = {"mulaw": MULAW_TABLE, "alaw": ALAW_TABLE}[encoding]
    order = np.argsort(table, kind="stable")
    middles = (table[order][1:] + table[order][:-1]) / 2
    return order[np.searchsorted(middles, waveform)].astype(np.uint8).tobytes()


def wave_file(content: bytes, rate: int, encoding: str = "pcm_s16le") -> bytes:
    """Wrap mono samples into a WAV file."""
    tag, bits = _FORMATS[encoding]
    width = bits // 8
    form = struct.pack("<HHIIHH", tag, 1, rate, rate * width, width, bits)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks + bytes(len(content) % 2)
