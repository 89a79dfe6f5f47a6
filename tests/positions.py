"""Where a voice lies in decoded samples: finer than a model tells it, whose words come in steps of 40 ms."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

TOLERANCE_MS = 20.0

_PIECE, _REACH = 6_400, 1_600  # samples that are looked for, and how far from their place
_AUDIBLE = 500.0  # steps of int16: a fainter piece has no place of its own
_ALIKE = 0.7  # correlation; what the worst codec of telephones leaves

Samples = npt.NDArray[np.int16]


def measure_deviations(heard: Samples, voice: Samples, begin: float) -> list[float]:
    """Return by how many milliseconds each audible piece of a voice lies behind its place; pieces of 0.4 s.

    Args:
        heard: 16 kHz; music and other distortion may be in it, and the voice may be turned round.
        voice: as it was recorded, 16 kHz.
        begin: seconds at which it should begin.
    """
    deviations = []
    padded = np.pad(heard.astype(np.float64), _REACH + _PIECE)
    for place in range(0, len(voice) - _PIECE + 1, 2 * _REACH):
        piece = voice[place : place + _PIECE].astype(np.float64)
        if np.sqrt(np.square(piece).mean()) < _AUDIBLE:
            continue
        first = _PIECE + round(begin * 16_000) + place  # in `padded`, `_REACH` before the place
        around = padded[first : first + _PIECE + 2 * _REACH]
        transformed = np.fft.rfft(around) * np.conj(np.fft.rfft(piece, len(around)))
        products = np.fft.irfft(transformed, len(around))[: 2 * _REACH + 1]
        energies = np.cumsum(np.pad(np.square(around), (1, 0)))
        norms = np.sqrt(np.maximum(energies[_PIECE:] - energies[:-_PIECE], 1)) * np.linalg.norm(piece)
        likeness = np.abs(products) / norms
        if likeness.max() >= _ALIKE:
            deviations.append(float(int(likeness.argmax()) - _REACH) / 16)
    return deviations
