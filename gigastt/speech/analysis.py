"""Analysis: samples of one stream in, features kept and activity levels out, unit by unit.

Owned by one stream. Positions are absolute: samples, frames of 10 ms, blocks of
40 ms from the client's first sample.
"""

from __future__ import annotations

import numpy as np

from gigastt.audio.pcm import Samples
from gigastt.speech.activity import BLOCK_FRAMES, UNIT_BLOCKS, UNIT_FRAMES, ActivityDetector
from gigastt.speech.features import MELS, FeatureExtractor
from gigastt.speech.tokens import FRAME_SAMPLES, WINDOW_SAMPLES, Features

BLOCK_SAMPLES = BLOCK_FRAMES * FRAME_SAMPLES  # 640: 40 ms
_UNIT_SAMPLES = UNIT_FRAMES * FRAME_SAMPLES
_OVERLAP_SAMPLES = WINDOW_SAMPLES - FRAME_SAMPLES  # a frame reads so far into the next one's samples
_SMALLEST = 64  # frames of a buffer


class Analysis:
    """Features and levels of one stream.

    Args:
        detector: fresh, or continued at block `position`.
        start: the first sample that will be pushed; a multiple of 640.
        position: the first block the detector has not seen; at `start` or later.
        keeps_samples: whether `read_samples` will be called.
    """

    def __init__(self, detector: ActivityDetector, start: int, position: int, *, keeps_samples: bool = False) -> None:
        self._samples: Samples | None = np.empty(0, np.int16) if keeps_samples else None
        self._samples_from = start
        self.features = FeatureBuffer(start // FRAME_SAMPLES, MELS)
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


class FeatureBuffer:
    """A window of the stream's log-mel, from `first` to before `end`: appended at the end, dropped at the front.

    Holds a few kilobytes while nothing is open and at most about a megabyte in a long utterance.
    """

    def __init__(self, first: int, bands: int) -> None:
        self.first = first
        self._rows: Features = np.empty((_SMALLEST, bands), np.float32)
        self._used = 0

    @property
    def end(self) -> int:
        """The frame after the last one."""
        return self.first + self._used

    def append(self, features: Features) -> None:
        """Take the next frames [frames, bands]."""
        used = self._used + len(features)
        if used > len(self._rows):
            self._resize(max(used, 2 * len(self._rows)))
        self._rows[self._used : used] = features
        self._used = used

    def drop_before(self, frame: int) -> None:
        """Forget the frames before `frame`."""
        count = min(max(0, frame - self.first), self._used)
        if not count:
            return
        kept = self._used - count
        self._rows[:kept] = self._rows[count : self._used]
        self.first += count
        self._used = kept
        if len(self._rows) > max(_SMALLEST, 4 * kept):
            self._resize(max(_SMALLEST, 2 * kept))

    def read(self, first: int, end: int) -> Features:
        """Return a copy of frames `first` to before `end`."""
        if not self.first <= first <= end <= self.end:
            raise IndexError(f"Expected frames within {self.first}..{self.end}, but got {first}..{end}.")
        return self._rows[first - self.first : end - self.first].copy()

    def _resize(self, capacity: int) -> None:
        rows = np.empty((capacity, self._rows.shape[1]), np.float32)
        rows[: self._used] = self._rows[: self._used]
        self._rows = rows
