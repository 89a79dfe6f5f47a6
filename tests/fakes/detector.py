"""An activity detector that takes every loud block for speech; the companion of the fake recogniser."""

from __future__ import annotations

from gigastt.speech.activity import BLOCK_FRAMES, STATE_BYTES, ActivityDetector
from gigastt.speech.segmenter import FULL_LEVEL
from gigastt.speech.tokens import Features
from tests.fakes.recognizer import LOUD


class LoudnessDetector(ActivityDetector):
    """Remembers nothing, so its state is always the same."""

    def __init__(self) -> None:
        pass

    def push(self, unit: Features) -> bytes:
        """Return the full level for every block with a loud frame, and zero for the others."""
        blocks = unit.reshape(-1, BLOCK_FRAMES * unit.shape[1])
        return bytes(FULL_LEVEL if block.max() > LOUD else 0 for block in blocks)

    def get_state(self) -> bytes:
        """Return a state of the right size."""
        return bytes(STATE_BYTES)

    def set_state(self, state: bytes) -> None:
        """Continue from a state."""
