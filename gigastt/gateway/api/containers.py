"""Containers: files sent where raw samples are expected, known by their first bytes.

Pure. `/v1/ws` takes PCM, and what a container's header and frames sound like is noise, so they are refused by name.
A WAV file of the very format that was configured is PCM behind a header, which is skipped; with any other header the
client is told to configure what it says.

None of the marks is shorter than 32 bits, nor like anything but a full-scale burst when taken for samples.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from gigastt.gateway.api.dialect import Configuration

MOST_HEADER_BYTES = 4096  # of a WAV file, up to its samples
_MARKS = (
    ("a WebM or Matroska file", 0, b"\x1a\x45\xdf\xa3"),
    ("an Ogg file", 0, b"OggS"),
    ("a FLAC file", 0, b"fLaC"),
    ("an MP3 file", 0, b"ID3\x02"),
    ("an MP3 file", 0, b"ID3\x03"),
    ("an MP3 file", 0, b"ID3\x04"),
    ("an MP4 or M4A file", 4, b"ftyp"),
    ("an AIFF file", 0, b"FORM"),
    ("a CAF file", 0, b"caff"),
    ("an AU file", 0, b".snd"),
    ("an AMR file", 0, b"#!AMR"),
    ("an RF64 file", 0, b"RF64"),
    ("a RIFF file", 0, b"RIFF"),  # a WAV file is looked at before
)
_WAV_ENCODINGS = {(1, 16): "pcm_s16le", (3, 32): "pcm_f32le", (6, 8): "alaw", (7, 8): "mulaw"}
_EXTENSIBLE = 0xFFFE
_FILES_GO_TO = "/v1/ws takes raw samples without a header; files go to POST /v1/transcribe."


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a client's audio begins.

    is_decided: False if more bytes are needed to tell.
    skip: leading bytes that are no samples.
    refusal: why it is no PCM of the configured format; None if it may be.
    """

    is_decided: bool
    skip: int = 0
    refusal: str | None = None


_UNDECIDED = Beginning(is_decided=False)
_PCM = Beginning(is_decided=True)


def examine(head: bytes, configuration: Configuration) -> Beginning:
    """Tell what the first bytes of a client's audio are."""
    if b"RIFF"[: len(head)] == head[:4] and b"WAVE"[: max(0, len(head) - 8)] == head[8:12]:
        return _examine_wav(head, configuration)
    undecided = False
    for name, offset, mark in _MARKS:
        if any(head[: min(3, offset)]):  # an MP4 file begins with the size of its first box, a small one
            continue
        seen = head[offset : offset + len(mark)]
        if seen == mark:
            return Beginning(is_decided=True, refusal=f"The audio begins like {name}: {_FILES_GO_TO}")
        undecided |= mark.startswith(seen)
    return _UNDECIDED if undecided else _PCM


def wav_rate(head: bytes) -> int | None:
    """Return the rate, in Hz, that the header of a WAV file says; None where there is none."""
    if head[:4] != b"RIFF" or head[8:16] != b"WAVEfmt " or len(head) < 28:
        return None
    return int.from_bytes(head[24:28], "little")


def _examine_wav(head: bytes, configuration: Configuration) -> Beginning:
    offset, form = 12, None
    while offset + 8 <= min(len(head), MOST_HEADER_BYTES):
        name, size = head[offset : offset + 4], int.from_bytes(head[offset + 4 : offset + 8], "little")
        offset += 8
        if name == b"data":
            return _compare(form, offset, configuration)
        if name == b"fmt ":
            form = head[offset : offset + size]
        offset += size + size % 2
    if offset + 8 > MOST_HEADER_BYTES:
        return Beginning(is_decided=True, refusal=f"The audio begins like a WAV file: {_FILES_GO_TO}")
    return _UNDECIDED


def _compare(form: bytes | None, header_bytes: int, configuration: Configuration) -> Beginning:
    refusal = f"The audio begins like a WAV file: {_FILES_GO_TO}"
    if form is None or len(form) < 16:
        return Beginning(is_decided=True, refusal=refusal)
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", form)
    if tag == _EXTENSIBLE and len(form) >= 26:
        tag = int.from_bytes(form[24:26], "little")
    encoding = _WAV_ENCODINGS.get((tag, bits))
    if (encoding, channels, rate) == (configuration.encoding, configuration.channels, configuration.sample_rate):
        return Beginning(is_decided=True, skip=header_bytes)
    if encoding is not None:
        refusal = (
            f"The audio begins with a WAV header of {rate} Hz, {encoding}, channels: {channels}, which is not what "
            "was configured. Configure that, or send the file to POST /v1/transcribe."
        )
    return Beginning(is_decided=True, refusal=refusal)
