"""Commits: the points of a stream from which its future can be computed again, bit for bit.

A commit is an offset in the client's audio (a multiple of 640 samples: a block of 40 ms) and a few hundred
bytes. A fresh stream given both, and the samples from `offset` on, makes the utterances that the old one
would have made. Pure values.

    ┌─────────┬──────────┬────────────────┬─────────┬────────────┬───────────────┐
    │ "gs" u8 │ i64      │ u8: n          │ n bytes │ 610 bytes  │ the rest      │
    │ version │ analysed │ levels waiting │ levels  │ detector   │ segmenter     │
    └─────────┴──────────┴────────────────┴─────────┴────────────┴───────────────┘

`analysed` is the next block the detector will see. `levels` are of blocks before it that the segmenter has
not taken yet: the detector works in units of several blocks, a cut may fall inside one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from gigastt.speech.activity import STATE_BYTES

MAX_RESUME_BYTES = 4096
_MAGIC = b"gs\x02"
_HEAD = struct.Struct("<3sqB")


@dataclass(frozen=True, slots=True)
class Commit:
    """Nothing before sample `offset` will be needed again by a stream that resumes with `resume`."""

    offset: int
    resume: bytes


@dataclass(frozen=True, slots=True)
class ResumeState:
    """The contents of `Commit.resume`."""

    analysed: int
    levels: bytes
    detector: bytes
    segmenter: bytes

    def pack(self) -> bytes:
        """Return the bytes of this state."""
        head = _HEAD.pack(_MAGIC, self.analysed, len(self.levels))
        return head + self.levels + self.detector + self.segmenter

    @classmethod
    def unpack(cls, resume: bytes) -> ResumeState:
        """Take the bytes of a state apart.

        Raises:
            ValueError: not bytes of `pack`, or of another version.
        """
        if not _HEAD.size <= len(resume) <= MAX_RESUME_BYTES:
            raise ValueError(f"Expected resume bytes of a commit, but got {len(resume)} bytes.")
        magic, analysed, count = _HEAD.unpack_from(resume)
        levels_end = _HEAD.size + count
        detector_end = levels_end + STATE_BYTES
        if magic != _MAGIC or analysed < 0 or len(resume) < detector_end:
            raise ValueError("Expected resume bytes of this version.")
        return cls(
            analysed=analysed,
            levels=resume[_HEAD.size : levels_end],
            detector=resume[levels_end:detector_end],
            segmenter=resume[detector_end:],
        )
