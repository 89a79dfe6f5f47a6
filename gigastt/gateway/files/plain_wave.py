"""Plain WAV files: the few whose bytes are already what a decoder would make of them, found without one.

A short file of 16 kHz mono PCM16 with nothing odd in it needs no process of its own: its samples are copied. Whatever
is not recognised here at once, however good a WAV file it may be, is the decoder's. Parses with `struct`, in the
gateway, at most `_HEAD_BYTES`.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

from gigastt.audio.pcm import SAMPLE_RATE

MOST_PLAIN_BYTES = 2 * 1024 * 1024  # a minute: more would hold up the event loop
_HEAD_BYTES = 1024
_PCM = (1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)  # tag, channels, rate, bytes a second, bytes a frame, bits


class PlainSamples(NamedTuple):
    """The samples of a file: the offset of their first byte, and their number."""

    offset: int
    samples: int


def find_plain_samples(descriptor: int) -> PlainSamples | None:
    """Return where the samples lie, if the file is as plain as that."""
    size = os.fstat(descriptor).st_size
    if not 44 < size <= MOST_PLAIN_BYTES:
        return None
    head = os.pread(descriptor, _HEAD_BYTES, 0)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE" or struct.unpack_from("<I", head, 4)[0] != size - 8:
        return None
    place, is_plain = 12, False
    while place + 8 <= len(head):
        name, length = struct.unpack_from("<4sI", head, place)
        place += 8
        if name == b"data":
            is_whole = place + length == size and length > 0 and length % 2 == 0
            return PlainSamples(place, length // 2) if is_plain and is_whole else None
        if name == b"fmt " and not is_plain and length == 16 and place + 16 <= len(head):
            is_plain = struct.unpack_from("<HHIIHH", head, place) == _PCM
        elif name != b"LIST":
            return None
        place += length + length % 2
    return None
