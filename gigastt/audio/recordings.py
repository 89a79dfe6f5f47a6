"""Recordings in a file: one or several, joined end to end, each as a file of its own for libav.

libav stops behind the first recording of a WAV or MP4 file and fails at the second link of an Ogg chain whose form
differs; and it believes a WAV header that a crash left behind. The few headers that tell are read here, each length
checked against the file; nothing is held in memory.

    ┌───────────────┬──────┬───────────┬───────────────┬───────────┐
    │ RIFF n, WAVE  │ fmt  │ data n'   │ RIFF n, WAVE  │ …         │   WAV: a second one behind the first one's data
    ├───────────────┼──────┴───────────┼───────────────┼───────────┤
    │ ftyp          │ mdat, moov, …    │ ftyp          │ …         │   MP4
    ├───────────────┼──────────────────┼───────────────┼───────────┤
    │ OggS, begins  │ OggS, OggS, …    │ OggS, begins  │ …         │   Ogg: links of a chain
    └───────────────┴──────────────────┴───────────────┴───────────┘
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

_SEARCH_BYTES = 65_536
_OGG_BEGINS = 0x02  # the flag of a stream's first page
_EXTENSIBLE = 0xFFFE
_PCM = 1
_WAVES = (b"RIFF", b"RIFX")


@dataclass(slots=True)
class Recording:
    """The bytes of one recording as a file that can be read and sought: what libav is given.

    end: where its bytes end, as far as they are needed.
    following: where the next one may begin.
    reads_on: the header's length of the audio is stale; the samples go on to the end.
    corrected: bytes that replace the file's own, by their place in the recording.
    """

    file: BinaryIO
    begin: int
    end: int
    following: int
    reads_on: bool = False
    corrected: dict[int, bytes] = field(default_factory=dict)
    _place: int = field(default=0, init=False)

    def read(self, size: int = -1) -> bytes:
        """Read from the current place, at most to the recording's end."""
        left = self.end - self.begin - self._place
        size = left if size < 0 else min(size, left)
        if size <= 0:
            return b""
        self.file.seek(self.begin + self._place)
        piece = self.file.read(size)
        for place, right in self.corrected.items():
            if self._place <= place and place + len(right) <= self._place + len(piece):
                at = place - self._place
                piece = piece[:at] + right + piece[at + len(right) :]
        self._place += len(piece)
        return piece

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to another place, counted from the recording's beginning."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self.end - self.begin}[whence]
        self._place = max(start + offset, 0)
        return self._place

    def tell(self) -> int:
        """Return the current place."""
        return self._place


def find_recordings(file: BinaryIO) -> Iterator[Recording]:
    """Yield the recordings of a file in order, each found when it is asked for; at least one."""
    end = file.seek(0, os.SEEK_END)
    begin = 0
    while True:
        head = _read_at(file, begin, 12)
        if head[:4] in _WAVES and head[8:] == b"WAVE":
            recording = _wave_recording(file, begin, end, "<" if head[:4] == b"RIFF" else ">")
        elif head[4:8] == b"ftyp":
            following = _end_of_mp4(file, begin, end)
            recording = Recording(file, begin, following, following)
        elif head[:4] == b"OggS":
            following = _end_of_ogg(file, begin, end)
            recording = Recording(file, begin, following, following)
        else:
            if begin == 0:
                yield Recording(file, 0, end, end)
            return
        yield recording
        begin = recording.following


def _read_at(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size)


class _Chunk(NamedTuple):
    name: bytes
    body: int  # where its content begins
    size: int  # as the header says


def _chunk_at(file: BinaryIO, place: int, order: str) -> _Chunk | None:
    head = _read_at(file, place, 8)
    if len(head) < 8:
        return None
    name, size = struct.unpack(f"{order}4sI", head)
    return _Chunk(name, place + 8, size)


def _wave_recording(file: BinaryIO, begin: int, end: int, order: str) -> Recording:
    """Find a WAV recording's end by its chunks, whether its length is stale, and what libav gets wrong in it."""
    recording = Recording(file, begin, end, end)
    place = begin + 12
    while (chunk := _chunk_at(file, place, order)) is not None:
        if chunk.name == b"fmt ":
            recording.corrected = _correct_width(_read_at(file, chunk.body, 40), chunk.body - begin, order)
        if chunk.name == b"data":
            if chunk.body + chunk.size >= end:  # a header that could not know: a pipe's, or a file cut short
                return recording
            following = _find_next(file, chunk.body + chunk.size, end, order)
            if following is None:
                recording.reads_on = True
            else:  # what lies between is no audio, and libav refuses a file for a fault in it
                recording.end, recording.following = chunk.body + chunk.size, following
            return recording
        place = chunk.body + chunk.size + chunk.size % 2
    return recording


def _find_next(file: BinaryIO, place: int, end: int, order: str) -> int | None:
    """Return where the recording ends that has its last sample before `place`; None if samples go on there.

    Whole chunks follow the samples, to the file's end or to the next recording; anything else is more samples.
    """
    for first in (place + place % 2, place + 1 - place % 2):  # some writers leave the byte out that makes it even
        at = first
        while end - at >= 8:
            if _read_at(file, at, 12)[:4] in _WAVES and _read_at(file, at + 8, 4) == b"WAVE":
                return at
            chunk = _chunk_at(file, at, order)
            if chunk is None or not _is_name(chunk.name) or chunk.body + chunk.size > end:
                break
            at = chunk.body + chunk.size + chunk.size % 2
        if end - at < 8:
            return end
    return None


def _is_name(name: bytes) -> bool:
    return name.isascii() and name.decode("ascii").isprintable()


def _correct_width(form: bytes, place: int, order: str) -> dict[int, bytes]:
    """Correct a PCM form whose samples lie in wider places (24 bits in 32): libav goes by the bits that are used.

    The samples are aligned to the top of their place, so the place's width reads them rightly.
    """
    if len(form) < 16:
        return {}
    tag, channels, _, _, block, bits = struct.unpack_from(f"{order}HHIIHH", form)
    width = block // channels * 8 if channels else 0
    is_extensible = tag == _EXTENSIBLE and len(form) >= 26
    if is_extensible:
        tag = struct.unpack_from(f"{order}H", form, 24)[0]
    if tag != _PCM or width not in (16, 24, 32):
        return {}
    right = struct.pack(f"{order}H", width)
    corrected = {place + 14: right} if bits != width and 0 < bits < width else {}
    if is_extensible and 0 < struct.unpack_from(f"{order}H", form, 18)[0] < width:
        corrected[place + 18] = right
    return corrected


def _end_of_mp4(file: BinaryIO, begin: int, end: int) -> int:
    """Return where the boxes of one MP4 file end: at the next `ftyp` behind a `moov`, or at the file's end."""
    place, has_index = begin, False
    while end - place >= 8:
        size, name = struct.unpack(">I4s", _read_at(file, place, 8))
        if name == b"ftyp" and has_index:
            return place
        has_index = has_index or name == b"moov"
        if size == 1:
            size = int.from_bytes(_read_at(file, place + 8, 8), "big")
        if size < 8:  # to the end, or damaged
            break
        place += size
    return end


def _end_of_ogg(file: BinaryIO, begin: int, end: int) -> int:
    """Return where a link of an Ogg chain ends: at the next page that begins a stream behind one that does not."""
    place, inside = begin, False
    while end - place >= 27:
        head = _read_at(file, place, 27 + 255)
        if head[:4] != b"OggS":
            found = _search(file, b"OggS", place, end)
            if found is None:
                break
            place = found
            continue
        begins = bool(head[5] & _OGG_BEGINS)
        if begins and inside:
            return place
        inside = inside or not begins
        place += 27 + head[26] + sum(head[27 : 27 + head[26]])
    return end


def _search(file: BinaryIO, mark: bytes, place: int, end: int) -> int | None:
    while place < end:
        found = _read_at(file, place, _SEARCH_BYTES).find(mark)
        if found >= 0:
            return place + found
        place += _SEARCH_BYTES - len(mark) + 1
    return None
