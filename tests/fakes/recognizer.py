"""A recogniser without a model: one word for each loud burst, named after its pitch.

`tone(440.0, 0.5)` makes the samples of a burst and `word_of(440.0)` is what it is recognised as, so tests of
the engine know the transcript of the audio they made. Deterministic; each encoder frame is judged by its
own features and the one before it, so partials grow without changing. It keeps a record of its passes and
refuses any window that holds the `POISON_HZ` tone, as onnxruntime would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gigastt.audio.pcm import Samples
from gigastt.errors import InferenceError
from gigastt.speech.recognizer import ON_CORE, Sharing
from gigastt.speech.tokens import SUBSAMPLING, Features, Hypothesis, SearchState, Token, Vocabulary, Window

POISON_HZ = 7_800.0
LOUD = 2.0  # largest log-mel of a frame: silence is at -20, a tone of amplitude 0.3 near 7
_MELS = 64
_MEL_TOP = 2595.0 * np.log10(1.0 + 8000.0 / 700.0)
_STATE = np.zeros(4, dtype=np.float32)


def tone(hz: float, seconds: float, amplitude: float = 0.3) -> Samples:
    """Make a sine burst, int16 at 16 kHz."""
    time = np.arange(round(seconds * 16_000)) / 16_000
    return np.round(np.sin(2 * np.pi * hz * time) * amplitude * 32_767).astype(np.int16)


def silence(seconds: float) -> Samples:
    """Make silence, int16 at 16 kHz."""
    return np.zeros(round(seconds * 16_000), dtype=np.int16)


def word_of(hz: float) -> str:
    """Return the word that a tone of this pitch is recognised as (give or take one: see `same_word`)."""
    return f"тон{_bin_of(hz)}"


def same_word(word: str, hz: float) -> bool:
    """Tell whether a recognised word is the one of this pitch, or of a neighbouring mel bin."""
    return word in {f"тон{_bin_of(hz) + off}" for off in (-1, 0, 1)}


def _bin_of(hz: float) -> int:
    """Return the HTK mel bin nearest to a pitch."""
    mel = 2595.0 * np.log10(1.0 + hz / 700.0)
    return int(np.clip(round(mel / _MEL_TOP * (_MELS + 1)) - 1, 0, _MELS - 1))


@dataclass(frozen=True, slots=True)
class Pass:
    """One call: how many windows, and the feature frames of each."""

    batch: int
    frames: int


class FakeRecognizer:
    """Transcribe bursts of sound; a stand-in for `Recognizer`."""

    encoder_name = "fake"

    def __init__(self, sharing: Sharing = ON_CORE) -> None:
        self.sharing = sharing
        self.vocabulary = Vocabulary((*(f"▁тон{number}" for number in range(_MELS)), "<blk>"))
        self.passes: list[Pass] = []

    def transcribe(self, window: Window) -> Hypothesis:
        """Transcribe one window alone."""
        return self.transcribe_batch([window])[0]

    def transcribe_batch(self, windows: Sequence[Window]) -> list[Hypothesis]:
        """Transcribe windows of one length, or of any where they are padded.

        Raises:
            InferenceError: the lengths differ, or a window holds the poisonous tone.
        """
        if not windows:
            return []
        lengths = {len(window.features) for window in windows}
        if len(lengths) != 1 and not self.sharing.pads:
            raise InferenceError(f"Expected windows of one length in a batch, but got {sorted(lengths)}.")
        self.passes.append(Pass(len(windows), max(lengths)))
        return [self._transcribe(window) for window in windows]

    def _transcribe(self, window: Window) -> Hypothesis:
        tokens: list[Token] = []
        was_loud = False
        for number, bin_ in enumerate(_loudest_bins(window.features)):
            if bin_ == _bin_of(POISON_HZ):
                raise InferenceError("The poisonous tone is in the window.")
            if bin_ is not None and not was_loud and number >= window.skip:
                frame = window.first_frame + number * SUBSAMPLING
                tokens.append(Token(bin_, self.vocabulary.pieces[bin_], frame, 0.9))
            was_loud = bin_ is not None
        states = tuple(SearchState(token.id, _STATE, _STATE, _STATE) for token in tokens)
        return Hypothesis(tuple(tokens), states)


def _loudest_bins(features: Features) -> list[int | None]:
    """Return the loudest mel bin of every encoder frame (40 ms); None where it is quiet.

    Judged at the frame's last feature frame, so that a burst's edge does not smear its pitch.
    """
    last = features[SUBSAMPLING - 1 :: SUBSAMPLING]
    return [int(row.argmax()) if row.max() > LOUD else None for row in last]
