"""Features that may still be needed: appended at the end, dropped at the front.

Owned by one stream. Frames are absolute (10 ms, from the client's first sample). Holds a few kilobytes while
nothing is open and at most about a megabyte in a long utterance.
"""

from __future__ import annotations

import numpy as np

from gigastt.speech.tokens import Features

_SMALLEST = 64  # frames


class FeatureBuffer:
    """A window of the stream's log-mel, from `first` to before `end`."""

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


def put_in_room(features: Features, before: int, after: int) -> Features:
    """Return an utterance with so many frames of its room before and after it that were not recorded.

    A first and a last word need sound around them; digital silence beside a live room is worse than none. The level of
    the room in a band is that below which a fifth of its frames are.
    """
    if not (before or after):
        return features
    rank = len(features) // 5
    room = np.partition(features, rank, axis=0)[rank : rank + 1]
    return np.concatenate((np.repeat(room, before, axis=0), features, np.repeat(room, after, axis=0)))
