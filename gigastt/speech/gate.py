"""The gate: audio more than 36 dB below recent speech counts as silence, whatever the detector's network says.

Owned by one stream's detector. The network's memory takes up to half a second to tell a room's even noise from
the speech before it; its loudness tells at once. A peak follower with a release, as gates in audio have it:
the threshold falls with time, so a quiet speaker after a loud one is heard a second later at the latest.
"""

from __future__ import annotations

import struct

from gigastt.speech.segmenter import ON_LEVEL
from gigastt.speech.tokens import Features

DEPTH = 360  # tenths of a decibel below the loudest speech; the syllables of one speaker lie within 300
RELEASE = 4  # tenths of a decibel per block of 40 ms: 10 dB a second
_TENTHS = 43.42945  # of a decibel in a unit of log-mel, the natural logarithm of power
_UNHEARD = -10_000  # below everything
_STATE = struct.Struct("<h")

GATE_STATE_BYTES = _STATE.size


class Gate:
    """The loudest speech of one stream, fading."""

    def __init__(self) -> None:
        self._peak = _UNHEARD

    def push(self, block: Features, level: int) -> int:
        """Take the next block and its level, 0 to 255; return the level, or 0 for what is too quiet.

        Args:
            block: log-mel [4, 64].
            level: what the network made of it.
        """
        loudness = round(_TENTHS * float(block.max()))
        self._peak = max(self._peak - RELEASE, loudness if level >= ON_LEVEL else _UNHEARD)
        return level if loudness >= self._peak - DEPTH else 0

    def get_state(self) -> bytes:
        """Return everything this gate remembers: its peak, an int16."""
        return _STATE.pack(self._peak)

    def set_state(self, state: bytes) -> None:
        """Continue from a state of `get_state`; the caller has checked its length."""
        (self._peak,) = _STATE.unpack(state)
