"""Short plain WAV files need no decoder, and have the samples that it would give; any other file is left to it."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.audio.decode import decode
from gigastt.audio.selection import Selection
from gigastt.errors import CapacityTimeout
from gigastt.gateway.files.decoder import MOST_PLAIN_BYTES, FileDecoder, find_plain_samples
from tests.fakes.audio_files import make_tone
from tests.wave_files import wave_file

_PCM = make_tone(1.0).tobytes()
_PLAIN = wave_file(_PCM, 16_000)


@contextmanager
def body(raw: bytes) -> Iterator[int]:
    descriptor = os.memfd_create("body")
    os.write(descriptor, raw)
    yield descriptor
    os.close(descriptor)


def with_size(raw: bytes) -> bytes:
    return raw[:4] + struct.pack("<I", len(raw) - 8) + raw[8:]


@pytest.mark.slow
@pytest.mark.parametrize("raw", [_PLAIN, with_size(_PLAIN[:36] + b"LIST\4\0\0\0INFO" + _PLAIN[36:])])
async def test_a_plain_file_has_the_samples_that_the_decoder_gives(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(raw)
    (tmp_path / "segments").mkdir()
    decoder = FileDecoder(tmp_path / "segments", command=("/nowhere",))
    with body(raw) as descriptor:
        file = await decoder.decode(descriptor, 60.0)
        assert np.array_equal(file.segment.map(file.samples), np.concatenate(list(decode(tmp_path / "file", 60.0))))
        file.unlink()
        with pytest.raises(CapacityTimeout):  # by a decoder, which is not there
            await decoder.decode(descriptor, 60.0, selection=Selection(channel=0))
        with pytest.raises(CapacityTimeout):
            await decoder.decode(descriptor, 0.5)
    assert not list((tmp_path / "segments").iterdir())


@pytest.mark.parametrize(
    "raw",
    [
        wave_file(_PCM, 8_000),
        wave_file(_PCM, 16_000, "alaw"),
        _PLAIN[:22] + b"\2" + _PLAIN[23:],
        _PLAIN[:-10],
        _PLAIN + _PLAIN,
        with_size(_PLAIN + b"LIST\0\0\0\0"),
        with_size(_PLAIN[:-1]),
        with_size(_PLAIN[:36] + b"junk\4\0\0\0abcd" + _PLAIN[36:]),
        with_size(_PLAIN[:36] + b"LIST\xff\xff\xff\xff" + _PLAIN[36:]),
        with_size(_PLAIN[:12] + _PLAIN[36:]),
        _PLAIN[:44],
        wave_file(bytes(MOST_PLAIN_BYTES), 16_000),
        b"fLaC" + _PLAIN[4:],
        b"",
    ],
)
def test_anything_else_is_the_decoders(raw: bytes) -> None:
    with body(raw) as descriptor:
        assert find_plain_samples(descriptor) is None


@given(st.binary(max_size=200), st.integers(0, 60))
def test_no_bytes_are_taken_for_more_than_they_are(noise: bytes, place: int) -> None:
    raw = _PLAIN[:place] + noise + _PLAIN[place + len(noise) :]
    with body(raw) as descriptor:
        found = find_plain_samples(descriptor)
    assert found is None or found.offset + 2 * found.samples == len(raw)
