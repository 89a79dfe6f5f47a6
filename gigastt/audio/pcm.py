"""PCM: raw bytes of a connection in, float samples out.

Owns the encodings a client may stream in, and the carrying of bytes that do not fill a sample yet. Runs in
the gateway's event loop, one decoder per session. Must not know of rates, sockets or protocols.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

Encoding: TypeAlias = Literal["pcm_s16le", "pcm_f32le", "mulaw", "alaw"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)

SAMPLE_RATE = 16_000
Samples: TypeAlias = npt.NDArray[np.int16]  # [samples], 16 kHz mono
Waveform: TypeAlias = npt.NDArray[np.float32]  # [samples], full scale at ±1
Waveforms: TypeAlias = npt.NDArray[np.float32]  # [channels, samples], full scale at ±1

FULL_SCALE = 32768.0


def _expand_mulaw() -> Waveform:
    """The 256 values of µ-law (ITU-T G.711, table 2), as fractions of the 16-bit full scale."""
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    exponent, mantissa = (code >> 4) & 7, code & 15
    magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.float32) / np.float32(FULL_SCALE)


def _expand_alaw() -> Waveform:
    """The 256 values of A-law (ITU-T G.711, table 1), as fractions of the 16-bit full scale."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, code & 15
    linear = (mantissa << 4) + 8
    magnitude = np.where(exponent == 0, linear, (linear + 0x100) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.float32) / np.float32(FULL_SCALE)


MULAW_TABLE = _expand_mulaw()
ALAW_TABLE = _expand_alaw()

_WIDTHS: dict[Encoding, int] = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}


def sample_bytes(encoding: Encoding) -> int:
    """Return how many bytes a sample takes."""
    return _WIDTHS[encoding]


class PcmDecoder:
    """Turn bytes, cut anywhere, into samples."""

    def __init__(self, encoding: Encoding = "pcm_s16le", channels: int = 1) -> None:
        self._encoding = encoding
        self._channels = channels
        self._block = _WIDTHS[encoding] * channels
        self._carried = b""

    def push(self, piece: bytes | bytearray | memoryview) -> Waveforms:
        """Take the next bytes; bytes that do not fill a sample of every channel wait for the next call.

        Returns:
            float32 [channels, samples], perhaps with no samples. Floats from the client are limited to ±1 and
            what is not a number becomes silence, so that nothing later has to survive an infinity.
        """
        return np.ascontiguousarray(self._expand(self._take_whole(piece)).reshape(-1, self._channels).T)

    def push_int16(self, piece: bytes | bytearray | memoryview) -> list[bytes]:
        """Do the same for `pcm_s16le` without a detour: the bytes of each channel, as the client sent them."""
        assert self._encoding == "pcm_s16le"
        raw = self._take_whole(piece)
        if self._channels == 1:
            return [raw]
        return [channel.tobytes() for channel in np.frombuffer(raw, dtype="<i2").reshape(-1, self._channels).T]

    def drop_rest(self) -> int:
        """Forget the bytes that wait for more; return how many they were."""
        dropped, self._carried = len(self._carried), b""
        return dropped

    def _take_whole(self, piece: bytes | bytearray | memoryview) -> bytes:
        raw = self._carried + bytes(piece) if self._carried else bytes(piece)
        if len(raw) % self._block == 0:
            self._carried = b""
            return raw
        whole = len(raw) - len(raw) % self._block
        self._carried = raw[whole:]
        return raw[:whole]

    def _expand(self, raw: bytes) -> Waveform:
        match self._encoding:
            case "pcm_s16le":
                return np.frombuffer(raw, dtype="<i2").astype(np.float32) / np.float32(FULL_SCALE)
            case "pcm_f32le":
                return limit(np.frombuffer(raw, dtype="<f4").astype(np.float32))
            case "mulaw":
                return MULAW_TABLE[np.frombuffer(raw, dtype=np.uint8)]
            case "alaw":
                return ALAW_TABLE[np.frombuffer(raw, dtype=np.uint8)]


def limit(waveform: Waveform) -> Waveform:
    """Limit float samples to ±1; what is not a number becomes silence. Changes `waveform` in place."""
    np.nan_to_num(waveform, copy=False, nan=0.0, posinf=1.0, neginf=-1.0)
    return np.clip(waveform, -1.0, 1.0, out=waveform)


def to_bytes(samples: Samples) -> bytes:
    """Return samples as PCM16 little-endian."""
    return samples.astype("<i2", copy=False).tobytes()


def to_int16(waveform: Waveform) -> Samples:
    """Round float samples to int16 once; what came from int16 comes back as it was."""
    scaled: Waveform = np.rint(waveform * np.float32(FULL_SCALE))
    np.maximum(scaled, -32768, out=scaled)  # np.clip takes as long again for itself
    np.minimum(scaled, 32767, out=scaled)
    return scaled.astype(np.int16)
