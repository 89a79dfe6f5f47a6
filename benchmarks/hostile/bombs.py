"""Small files that are long, made without an encoder.

A FLAC frame of up to 65,535 equal samples takes 13 bytes or so: a second of decoding in some kilobytes at the highest
sample rate, an hour of memory in as many at the lowest. Everything in such a file is as the format asks.
"""

from __future__ import annotations

from collections.abc import Sequence

MOST_SAMPLES = 65_535  # of one frame
SLOW_RATE = 384_000  # the highest that is decoded: nearly four hours in a megabyte


def flac(*, frames: int, rate: int) -> bytes:
    """Build a FLAC file of silence, mono.

    Args:
        frames: 65,535 samples each.
        rate: samples a second; below 65,536 or a multiple of 10 below 655,360.
    """
    samples = frames * MOST_SAMPLES
    # STREAMINFO: smallest and largest block, sizes of frames (unknown), rate, channels - 1, bits - 1, samples, MD5
    packed = (rate << 44) | (0 << 41) | (15 << 36) | min(samples, (1 << 36) - 1)
    information = MOST_SAMPLES.to_bytes(2) * 2 + bytes(6) + packed.to_bytes(8) + bytes(16)
    return b"fLaC" + b"\x80" + len(information).to_bytes(3) + information + b"".join(map(_frame, range(frames)))


def slow_flac(size: int) -> bytes:
    """Build a file of about so many bytes that takes as long to decode as such a file can."""
    return flac(frames=size // 14, rate=SLOW_RATE)


def long_flac(seconds: float) -> bytes:
    """Build a file of so many seconds at 16 kHz: 13 bytes for each four of them."""
    return flac(frames=round(seconds * 16_000 / MOST_SAMPLES), rate=16_000)


def _frame(number: int) -> bytes:
    # fixed block size; a block size of 16 bits follows; the rate is STREAMINFO's; mono, 16 bits
    head = b"\xff\xf8\x70\x08" + _coded_number(number) + (MOST_SAMPLES - 1).to_bytes(2)
    body = head + bytes([_checksum(head, _CRC8, 8)]) + b"\x00\x00\x00"  # one constant subframe: 0
    return body + _checksum(body, _CRC16, 16).to_bytes(2)


def _coded_number(number: int) -> bytes:
    """Code a frame's number as UTF-8 codes a character; Python's codec refuses surrogates, which FLAC has."""
    if number < 0x80:
        return bytes([number])
    tail: list[int] = []
    limit = 0x40
    while number >= limit:
        tail.insert(0, 0x80 | number & 0x3F)
        number >>= 6
        limit = 0x40 >> len(tail)
    return bytes([(0xFF00 >> len(tail) + 1) & 0xFF | number, *tail])


def _table(polynomial: int, width: int) -> Sequence[int]:
    top, mask = 1 << width - 1, (1 << width) - 1
    table: list[int] = []
    for value in range(256):
        remainder = value << width - 8
        for _ in range(8):
            remainder = (remainder << 1 ^ (polynomial if remainder & top else 0)) & mask
        table.append(remainder)
    return table


_CRC8 = _table(0x07, 8)
_CRC16 = _table(0x8005, 16)


def _checksum(data: bytes, table: Sequence[int], width: int) -> int:
    mask, shift, remainder = (1 << width) - 1, width - 8, 0
    for byte in data:
        remainder = (remainder << 8 ^ table[(remainder >> shift) ^ byte]) & mask
    return remainder
