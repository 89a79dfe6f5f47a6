"""Black box: what a worker is doing, in memory that the gateway can read when the worker is dead.

    ┌───────┬──────────────────────┬──────────────────────┬─────┐
    │ count │ stream  start  end   │ stream  start  end   │  …  │   int64 each, samples absolute
    └───────┴──────────────────────┴──────────────────────┴─────┘

The worker names the streams whose audio it is about to touch, and clears the box behind it; that costs two writes to
memory and no system call. A crash while a stream is named is evidence against that audio, and nothing else is.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Sequence
from typing import NamedTuple

from gigastt.ipc.messages import StreamId

BYTES = 4096
_COUNT = struct.Struct("<q")
_TOUCH = struct.Struct("<qqq")
_MOST = (BYTES - _COUNT.size) // _TOUCH.size


class Touch(NamedTuple):
    """Samples `start` to `end` of a stream, which the worker is looking at."""

    stream: StreamId
    start: int
    end: int


class BlackBox:
    """One worker's box; both sides map the same file of memory."""

    def __init__(self, descriptor: int) -> None:
        """Map the box behind an open descriptor, which may be closed afterwards: the mapping keeps one of its own."""
        self._memory = mmap.mmap(descriptor, BYTES)

    @staticmethod
    def create() -> int:
        """Return the descriptor of a new, empty box.

        Raises:
            OSError: no descriptor is free.
        """
        descriptor = os.memfd_create("gigastt-worker", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, BYTES)
        # A worker that made it shorter would end the gateway with it, when that reads.
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        return descriptor

    def write(self, touches: Sequence[Touch]) -> None:
        """Say what is being looked at; nothing, if empty."""
        _COUNT.pack_into(self._memory, 0, 0)  # a death in the middle names nobody
        for number, touch in enumerate(touches[:_MOST]):
            _TOUCH.pack_into(self._memory, _COUNT.size + number * _TOUCH.size, *touch)
        _COUNT.pack_into(self._memory, 0, min(len(touches), _MOST))

    def read(self) -> list[Touch]:
        """Return what was being looked at; a dying worker may have left any bytes."""
        (count,) = _COUNT.unpack_from(self._memory, 0)
        found = [_TOUCH.unpack_from(self._memory, _COUNT.size + n * _TOUCH.size) for n in range(min(count, _MOST))]
        return [Touch(StreamId(stream), start, end) for stream, start, end in found if start < end]

    @property
    def is_empty(self) -> bool:
        """Whether the worker is between two pieces of work."""
        return _COUNT.unpack_from(self._memory, 0) == (0,)

    def close(self) -> None:
        """Let go of the memory and its descriptor."""
        self._memory.close()
