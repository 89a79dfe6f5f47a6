"""All recordings of a file are heard, and a WAV header that is wrong about its length or width does no harm."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest

from gigastt.audio.decode import decode
from gigastt.audio.pcm import Samples
from gigastt.audio.recordings import find_recordings
from gigastt.errors import AudioTooLong
from tests.fakes.audio_files import encode_audio, make_tone
from tests.wave_files import wave_file

_FIRST, _SECOND = make_tone(1.0), make_tone(0.5, hz=900.0)


def decoded(raw: bytes) -> Samples:
    return np.concatenate(list(decode(io.BytesIO(raw), 60.0)))


def with_size(raw: bytes, size: int) -> bytes:
    """Write another size into a WAV file's data chunk and its file header."""
    place = raw.index(b"data") + 4
    return raw[:4] + struct.pack("<I", size + 36) + raw[8:place] + struct.pack("<I", size) + raw[place + 4 :]


def extensible(samples: bytes, bits: int, used: int) -> bytes:
    """Write 16 kHz mono PCM with a header that tells the bits used apart from the width of their places."""
    width = bits // 8
    form = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 16_000, 16_000 * width, width, bits, 22, used, 4)
    form += b"\x01\x00\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


@pytest.mark.parametrize("junk", [b"", b"LIST\x04\x00\x00\x00abcd"], ids=["bare", "with a chunk behind"])
def test_wav_files_joined_end_to_end_are_all_heard(junk: bytes) -> None:
    raw = b"".join(wave_file(part.tobytes(), 16_000) + junk for part in (_FIRST, _SECOND, _FIRST))

    assert np.array_equal(decoded(raw), np.concatenate([_FIRST, _SECOND, _FIRST]))


def test_wav_files_of_different_rates_are_all_heard() -> None:
    raw = wave_file(_FIRST.tobytes(), 16_000) + wave_file(make_tone(0.5, 8_000).tobytes(), 8_000)

    assert len(decoded(raw)) == pytest.approx(24_000, abs=4)


@pytest.mark.parametrize("size", [0, 2, 16_000, 31_990])
def test_a_wav_file_whose_length_is_stale_is_read_to_its_end(size: int) -> None:
    assert np.array_equal(decoded(with_size(wave_file(_FIRST.tobytes(), 16_000), size)), _FIRST)


@pytest.mark.parametrize("size", [32_000, 40_000, 2**31, 2**32 - 40])
def test_a_wav_file_that_promises_too_much_gives_what_it_has(size: int) -> None:
    assert np.array_equal(decoded(with_size(wave_file(_FIRST.tobytes(), 16_000), size)), _FIRST)


def test_chunks_behind_the_samples_are_no_samples() -> None:
    raw = wave_file(_FIRST.tobytes(), 16_000) + b"id3 " + struct.pack("<I", 3) + b"abc\0" + b"LIST\x02\0\0\0ab"

    assert np.array_equal(decoded(raw), _FIRST)


def test_bits_in_wider_places_are_read_by_the_width_of_the_places() -> None:
    wide = (_FIRST.astype("<i4") << 16).tobytes()

    assert np.array_equal(decoded(extensible(wide, 32, 24)), _FIRST)
    assert np.array_equal(decoded(extensible(wide, 32, 32)), _FIRST)
    assert np.array_equal(decoded(extensible(_FIRST.tobytes(), 16, 13)), _FIRST)
    plain = bytearray(wave_file(wide, 16_000))
    plain[28:36] = struct.pack("<IHH", 64_000, 4, 24)  # 24 bits, and 4 bytes each
    assert np.array_equal(decoded(bytes(plain)), _FIRST)


@pytest.mark.parametrize(("container", "codec"), [("ipod", "aac"), ("mp4", "aac"), ("mov", "pcm_s16le")])
def test_mp4_files_joined_end_to_end_are_all_heard(container: str, codec: str) -> None:
    first, second = (encode_audio(part, container, codec) for part in (_FIRST, _SECOND))

    assert len(decoded(first + second)) == len(decoded(first)) + len(decoded(second))


def test_links_of_an_ogg_chain_are_all_heard_whatever_their_form() -> None:
    links = [
        encode_audio(make_tone(1.0, 48_000), "ogg", "vorbis", rate=48_000, channels=2),
        encode_audio(make_tone(1.0, 22_050), "ogg", "vorbis", rate=22_050, channels=2),
        encode_audio(make_tone(1.0, 48_000), "ogg", "libopus", rate=48_000),
        encode_audio(make_tone(1.0, 16_000), "ogg", "flac"),
    ]
    lengths = [len(decoded(link)) for link in links]

    assert len(decoded(b"".join(links))) == sum(lengths)
    assert min(lengths) > 14_000


@pytest.mark.parametrize(("container", "codec"), [("flac", "flac"), ("mp3", "libmp3lame"), ("adts", "aac")])
def test_streams_without_a_container_are_all_heard(container: str, codec: str) -> None:
    raw = encode_audio(_FIRST, container, codec)

    assert len(decoded(raw + raw)) == pytest.approx(
        2 * len(decoded(raw)), abs=2_400
    )  # a seam of an MP3 has the encoder's padding


def test_a_damaged_recording_behind_a_good_one_takes_nothing_from_it() -> None:
    assert np.array_equal(decoded(wave_file(_FIRST.tobytes(), 16_000) + b"RIFF\x20\0\0\0WAVEfmt "), _FIRST)


def test_the_lengths_of_all_recordings_count_against_the_limit() -> None:
    raw = wave_file(bytes(32_000 * 10), 16_000) * 3

    pieces: list[Samples] = []
    with pytest.raises(AudioTooLong):
        pieces.extend(decode(io.BytesIO(raw), max_seconds=15.0))

    assert sum(map(len, pieces)) <= 15 * 16_000
    assert len(decoded(raw)) == 30 * 16_000


@pytest.mark.parametrize(
    "raw",
    [
        b"RIFF\0\0\0\0WAVE" * 50,
        b"RIFF\0\0\0\0WAVEdata\0\0\0\0" * 50,
        b"\0\0\0\x08ftyp" * 50,
        b"\0\0\0\x01ftypabcd" + bytes(8) + b"\0\0\0\0moov",
        b"OggS\0\x02" + bytes(20) + b"\xff" * 300,
        (b"OggS\0\0" + bytes(21)) * 50,
    ],
)
def test_finding_recordings_always_ends_within_the_file(raw: bytes) -> None:
    found = list(find_recordings(io.BytesIO(raw)))

    assert [recording.begin for recording in found] == [0, *(recording.following for recording in found[:-1])]
    assert all(recording.begin < recording.end <= recording.following <= len(raw) for recording in found)
