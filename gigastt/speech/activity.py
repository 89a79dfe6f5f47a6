"""Speech activity: how likely each block of 40 ms holds speech, from the log-mel the encoder needs anyway.

Owns the detector's network (one onnxruntime session for all streams of a process), the recurrent state of one stream,
and its samples' way to features and levels. Runs on the worker's main thread. Positions are absolute: samples, frames
of 10 ms, blocks of 40 ms from the client's first sample.

Bit stability. The network always sees exactly `UNIT_BLOCKS` blocks, counted from where the stream began, so
how the audio arrived cannot change a single bit of a probability; only the end of a stream gives a shorter
unit, and the end is the same however it was reached. A state taken between units and set again continues exactly.
Twelve units of a recording may share one run, which takes a fifth of their time: only on a machine that gives each
block the bits it has in a unit of its own, which a trial shows, and only if nobody compares states, which come less
often then.

The recipe and the network's figures are in tools/activity.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache, cached_property
from importlib.resources import files

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from gigastt.audio.pcm import Samples
from gigastt.speech.features import MELS, FeatureBuffer, FeatureExtractor
from gigastt.speech.network import session_options
from gigastt.speech.segmenter import FULL_LEVEL, ON_LEVEL
from gigastt.speech.tokens import FRAME_SAMPLES, SUBSAMPLING, WINDOW_SAMPLES, Features

DEPTH = 360  # tenths of a decibel below the loudest speech; the syllables of one speaker lie within 300
RELEASE = 4  # tenths of a decibel per block of 40 ms: 10 dB a second
_TENTHS = 43.42945  # of a decibel in a unit of log-mel, the natural logarithm of power
_UNHEARD = -10_000  # below everything
_GATE_STATE = struct.Struct("<h")

GATE_STATE_BYTES = _GATE_STATE.size

HIDDEN = 24
BLOCK_FRAMES = SUBSAMPLING  # feature frames of 10 ms in a block; blocks are encoder frames
UNIT_BLOCKS = 2  # blocks of one call: 80 ms
UNIT_FRAMES = UNIT_BLOCKS * BLOCK_FRAMES
LONG_BLOCKS = 12 * UNIT_BLOCKS  # 0.96 s
BLOCK_SAMPLES = BLOCK_FRAMES * FRAME_SAMPLES  # 640: 40 ms
_UNIT_SAMPLES = UNIT_FRAMES * FRAME_SAMPLES
_OVERLAP_SAMPLES = WINDOW_SAMPLES - FRAME_SAMPLES  # a frame reads so far into the next one's samples
_NETWORK_BYTES = 4 * (MELS + MELS + HIDDEN)
STATE_BYTES = _NETWORK_BYTES + GATE_STATE_BYTES

_UNSEEN = 100.0  # the network's "no block yet" in place of the last mean

Row = npt.NDArray[np.float32]  # [1, 1, width]


class ActivityModel:
    """The detector's network, shared by every stream of a process."""

    def __init__(self, model: bytes) -> None:
        self._session = ort.InferenceSession(model, session_options(), providers=["CPUExecutionProvider"])

    def __deepcopy__(self, memo: dict[int, object]) -> ActivityModel:
        """Streams are copied; what they share is not."""
        return self

    @classmethod
    @cache
    def load(cls) -> ActivityModel:
        """Load the weights that the package carries, once in a process."""
        return cls((files("gigastt.speech") / "data" / "activity.onnx").read_bytes())

    def run(self, features: Features, above: Row, last: Row, hidden: Row) -> tuple[Row, Row, Row, Row]:
        """Run the network over one unit of one stream.

        Args:
            features: log-mel [frames, 64], a multiple of 4 frames.
            above, last, hidden: the stream's state, [1, 1, 64], [1, 1, 64] and [1, 1, 24].

        Returns:
            Probabilities [1, blocks] and the state after the unit.
        """
        probability, above, last, hidden = self._session.run(
            None, {"features": features[None], "above": above, "last": last, "hidden": hidden}
        )
        return probability, above, last, hidden

    @cached_property
    def runs_long_alike(self) -> bool:
        """Whether a long unit gives the bits of the short ones in it.

        Libraries choose the order of a product's sums by its shape, not by what is in it, so that noise tells.
        """
        noise = np.random.default_rng(0).normal(-8.0, 4.0, (2 * LONG_BLOCKS * BLOCK_FRAMES, MELS)).astype(np.float32)
        return all(map(np.array_equal, self._run_all(noise, LONG_BLOCKS), self._run_all(noise, UNIT_BLOCKS)))

    def _run_all(self, features: Features, blocks: int) -> Sequence[Row]:
        """Run over a new stream in units of so many blocks; return every probability and the last state."""
        state = _fresh_state()
        probabilities: list[Row] = []
        for begin in range(0, len(features), blocks * BLOCK_FRAMES):
            probability, *state = self.run(features[begin : begin + blocks * BLOCK_FRAMES], *state)
            probabilities.append(probability)
        return [np.concatenate(probabilities, axis=1), *state]


def _fresh_state() -> list[Row]:
    """Return `above`, `last` and `hidden` before a stream's first block."""
    unseen = np.full((1, 1, MELS), _UNSEEN, np.float32)
    return [np.zeros((1, 1, MELS), np.float32), unseen, np.zeros((1, 1, HIDDEN), np.float32)]


class ActivityDetector:
    """The detector's state in one stream.

    Args:
        model: the network.
        is_recorded: whether long units may be used: the audio is all there already.
    """

    longest_blocks = UNIT_BLOCKS  # of one push

    def __init__(self, model: ActivityModel, *, is_recorded: bool = False) -> None:
        self._model = model
        if is_recorded and model.runs_long_alike:
            self.longest_blocks = LONG_BLOCKS
        self._above, self._last, self._hidden = _fresh_state()
        self._gate = Gate()

    def push(self, unit: Features) -> bytes:
        """Take the next unit and return one level per block, 0 to 255 for probabilities 0 to 1.

        Args:
            unit: log-mel [frames, 64]: `UNIT_BLOCKS` or `longest_blocks` blocks, or fewer at the end of the stream.
        """
        longest = self.longest_blocks * BLOCK_FRAMES
        if not 0 < len(unit) <= longest or len(unit) % BLOCK_FRAMES:
            raise ValueError(f"Expected a unit of up to {longest} frames, but got {len(unit)}.")
        probability, self._above, self._last, self._hidden = self._model.run(
            unit, self._above, self._last, self._hidden
        )
        levels: bytes = np.rint(probability[0] * FULL_LEVEL).astype(np.uint8).tobytes()
        blocks = unit.reshape(len(levels), -1)
        return bytes(map(self._gate.push, blocks, levels))

    def get_state(self) -> bytes:
        """Return everything this detector remembers: 152 float32, little-endian, and the gate's state."""
        state = np.concatenate([self._above.ravel(), self._last.ravel(), self._hidden.ravel()])
        return state.astype("<f4").tobytes() + self._gate.get_state()

    def set_state(self, state: bytes) -> None:
        """Continue from a state of `get_state`.

        Raises:
            ValueError: not such a state.
        """
        if len(state) != STATE_BYTES:
            raise ValueError(f"Expected {STATE_BYTES} bytes of detector state, but got {len(state)}.")
        values = np.frombuffer(state[:_NETWORK_BYTES], "<f4").astype(np.float32)
        if not np.isfinite(values).all():
            raise ValueError("Expected finite numbers in the detector's state.")
        self._above = values[:MELS].reshape(1, 1, -1)
        self._last = values[MELS : 2 * MELS].reshape(1, 1, -1)
        self._hidden = values[2 * MELS :].reshape(1, 1, -1)
        self._gate.set_state(state[_NETWORK_BYTES:])


class Gate:
    """The loudest speech of one stream, fading: audio more than 36 dB below it counts as silence.

    The network's memory takes up to half a second to tell a room's even noise from the speech before it; its loudness
    tells at once. A peak follower with a release, as gates in audio have it: the threshold falls with time, so a quiet
    speaker after a loud one is heard a second later at the latest.
    """

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
        return _GATE_STATE.pack(self._peak)

    def set_state(self, state: bytes) -> None:
        """Continue from a state of `get_state`; the caller has checked its length."""
        (self._peak,) = _GATE_STATE.unpack(state)


class Analysis:
    """Features and levels of one stream: samples in, features kept and activity levels out, unit by unit.

    Args:
        detector: fresh, or continued at block `position`.
        start: the first sample that will be pushed; a multiple of 640.
        position: the first block the detector has not seen; at `start` or later.
        keeps_samples: whether `read_samples` will be called.
    """

    def __init__(self, detector: ActivityDetector, start: int, position: int, *, keeps_samples: bool = False) -> None:
        self._samples: Samples | None = np.empty(0, np.int16) if keeps_samples else None
        self._samples_from = start
        self.features = FeatureBuffer(start // FRAME_SAMPLES)
        self.position = position  # the next block the detector will see
        self.extracted = start  # samples taken in
        self._detector = detector
        self._extractor = FeatureExtractor()
        self._pending: list[Samples] = []  # too few to be worth a call
        self._pending_samples = 0
        self._end: int | None = None  # the block after the last one, once the audio has ended

    @property
    def is_finished(self) -> bool:
        """Whether the audio has ended."""
        return self._end is not None

    def push(self, samples: Samples) -> bool:
        """Take the next samples; return whether there may be levels."""
        self._pending.append(samples)
        self._pending_samples += len(samples)
        needed = self.position * BLOCK_SAMPLES + _UNIT_SAMPLES + _OVERLAP_SAMPLES
        if self.extracted + self._pending_samples < needed:
            return False
        self._extract()
        return True

    def finish(self) -> None:
        """End the audio: the last block is filled with silence."""
        self._extract()
        self._end = max(self.position, -(-self.extracted // BLOCK_SAMPLES))
        padding = self._end * BLOCK_SAMPLES + _OVERLAP_SAMPLES - self.extracted
        self.features.append(self._extractor.push(np.zeros(padding, np.int16)))

    def next_levels(self) -> bytes:
        """Return the levels of the next unit, one byte per block; none when the audio does not reach so far."""
        longest = self._detector.longest_blocks
        ready = (self.features.end // BLOCK_FRAMES if self._end is None else self._end) - self.position
        blocks = longest if ready >= longest else UNIT_BLOCKS
        if self._end is not None:
            blocks = min(blocks, ready)
        if not 0 < blocks <= ready:
            return b""
        first = self.position * BLOCK_FRAMES
        self.position += blocks
        return self._detector.push(self.features.read(first, self.position * BLOCK_FRAMES))

    def drop_before(self, frame: int) -> None:
        """Forget what lies before a frame."""
        self.features.drop_before(frame)
        if self._samples is not None and (count := frame * FRAME_SAMPLES - self._samples_from) > 0:
            self._samples = self._samples[count:].copy()
            self._samples_from += count

    def read_samples(self, first: int, end: int) -> Samples:
        """Return the samples of frames `first` to before `end`; fewer at the end of the audio."""
        if self._samples is None or first * FRAME_SAMPLES < self._samples_from:
            raise IndexError(f"Expected frames that are kept, but got {first}..{end}.")
        offset = self._samples_from
        return self._samples[first * FRAME_SAMPLES - offset : end * FRAME_SAMPLES - offset]

    def get_detector_state(self) -> bytes:
        """Return the detector's state before block `position`."""
        return self._detector.get_state()

    def _extract(self) -> None:
        if self._pending:
            samples = np.concatenate(self._pending) if len(self._pending) > 1 else self._pending[0]
            self.features.append(self._extractor.push(samples))
            if self._samples is not None:
                self._samples = np.concatenate((self._samples, samples))
        self.extracted += self._pending_samples
        self._pending.clear()
        self._pending_samples = 0
