"""Sharing: which windows go through the encoder in one pass. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

MAX_WINDOW_FRAMES: Final = 2050  # 20.5 s; beyond about 30 s a full-context encoder degrades
_BUCKET: Final = 1.25  # the longest window of a bucket over the shortest: so much padding at most

Member = TypeVar("Member")


@dataclass(frozen=True, slots=True)
class Sharing:
    """What an encoder takes at once.

    windows: in one pass, at most.
    longest: feature frames of a window that shares a pass.
    width: windows of full length that one pass holds; no pass holds more frames.
    finals: a window's result is the same, up to rounding, whatever else is in its pass.
    pads: windows of different lengths may share one.
    """

    windows: int = 4
    longest: int = 160  # 1.6 s: beyond, a batch gains nothing on a core
    width: int = 1
    finals: bool = False
    pads: bool = False

    def choose(self, items: Iterable[Member], frames_of: Callable[[Member], int]) -> list[Member]:
        """Choose the items of one pass: the first, and those behind it that may share it.

        Reads no further than it must: nothing behind the first when that is long.
        """
        chosen: list[Member] = []
        room = 0
        for item in items:
            frames = frames_of(item)
            if not chosen:
                bucket, room = self._bucket(frames), self._room(frames)
            if not chosen or self._bucket(frames) == bucket:
                chosen.append(item)
            if len(chosen) >= room:
                break
        return chosen

    def _bucket(self, frames: int) -> int:
        return math.ceil(math.log(frames, _BUCKET)) if self.pads and frames > 0 else frames

    def _room(self, frames: int) -> int:
        """Return how many windows like this one a pass holds."""
        if frames > self.longest:
            return 1
        most = frames * _BUCKET if self.pads else frames
        return max(1, min(self.windows, int(self.width * MAX_WINDOW_FRAMES / max(most, 1))))


ON_CORE: Final = Sharing()
ON_CARD: Final = Sharing(windows=32, longest=MAX_WINDOW_FRAMES, width=16, finals=True)
