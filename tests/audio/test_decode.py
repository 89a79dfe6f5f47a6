"""Every format comes out as 16 kHz mono; nothing that a file says of itself is believed."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from gigastt.audio.decode import decode
from gigastt.audio.pcm import Samples
from gigastt.errors import AudioTooLong, InvalidAudio
from tests.fakes.audio_files import encode_audio, encode_video, make_tone
from tests.properties import tries
from tests.wave_files import wave_file

_TONE = make_tone(1.0)
_EXACT = [("wav", "pcm_s16le"), ("wav", "pcm_s24le"), ("wav", "pcm_s32le"), ("wav", "pcm_f32le"), ("wav", "pcm_f64le")]
_EXACT += [("flac", "flac"), ("aiff", "pcm_s16be")]
_CLOSE = [("wav", "pcm_u8"), ("wav", "pcm_alaw"), ("wav", "pcm_mulaw"), ("mp3", "libmp3lame"), ("ogg", "vorbis")]
_CLOSE += [("ogg", "libopus"), ("ipod", "aac"), ("adts", "aac"), ("webm", "libopus")]
_WAV = encode_audio(_TONE, "wav", "pcm_s16le")


def decoded(raw: bytes, max_seconds: float = 60.0) -> Samples:
    return np.concatenate(list(decode(io.BytesIO(raw), max_seconds)))


def wav_header(size: int, *, channels: int = 1, rate: int = 16_000) -> bytes:
    """The 44 bytes before PCM16, with any size written into them."""
    block = channels * 2
    form = struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * block & 0xFFFFFFFF, block, 16)
    return (
        b"RIFF" + struct.pack("<I", min(size + 36, 2**32 - 1)) + b"WAVEfmt " + form + b"data" + struct.pack("<I", size)
    )


def likeness(heard: Samples, meant: Samples) -> float:
    """Correlate the magnitude of the two over time: codecs shift and colour, but do not move a sound."""
    size = min(len(heard), len(meant)) // 160 * 160
    loud = [np.abs(part[:size].astype(float)).reshape(-1, 160).mean(axis=1) for part in (heard, meant)]
    return float(np.corrcoef(loud[0], loud[1])[0, 1])


@pytest.mark.parametrize(("container", "codec"), _EXACT)
def test_lossless_16_khz_mono_comes_out_exactly(container: str, codec: str) -> None:
    assert np.array_equal(decoded(encode_audio(_TONE, container, codec)), _TONE)


@pytest.mark.parametrize(("container", "codec"), _CLOSE)
def test_other_formats_come_out_as_the_same_sound(container: str, codec: str) -> None:
    rate = 48_000 if codec == "libopus" else 16_000
    channels = 2 if codec == "vorbis" else 1  # the encoder's only layout
    heard = decoded(encode_audio(make_tone(1.0, rate), container, codec, rate=rate, channels=channels))

    assert abs(len(heard) - 16_000) < 2_500  # encoders of raw streams add up to a few frames
    # A raw AAC stream does not say how late its encoder made it: 64 ms.
    assert likeness(heard, _TONE) > (0.9 if container == "adts" else 0.98)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_channels_are_brought_to_16_khz_mono(rate: int, channels: int) -> None:
    heard = decoded(encode_audio(make_tone(1.0, rate), "wav", "pcm_s16le", rate=rate, channels=channels))

    assert abs(len(heard) - 16_000) <= 2
    assert np.max(np.abs(heard[100:15_900].astype(int) - _TONE[100:15_900])) < 300


def test_channels_are_mixed_down_to_their_mean() -> None:
    left, right = np.arange(0, 1000, 2), np.arange(500, 0, -1)
    interleaved = np.stack([left, right], axis=1).astype("<i2").tobytes()
    raw = wav_header(len(interleaved), channels=2) + interleaved

    assert np.array_equal(decoded(raw), np.rint((left + right) / 2).astype(np.int16))


def test_chained_pieces_of_different_rates_follow_each_other() -> None:
    first = encode_audio(make_tone(0.5, 48_000), "ogg", "vorbis", rate=48_000, channels=2)
    second = encode_audio(make_tone(0.5, 22_050), "ogg", "vorbis", rate=22_050, channels=2)

    assert len(decoded(first + second)) >= 7_000


@pytest.mark.parametrize("size", [0, 1, 1_000, 2**31, 2**32 - 1])
def test_a_wav_header_with_any_size_gives_no_more_than_the_file_holds(size: int) -> None:
    raw = wav_header(size) + _TONE.tobytes()
    try:
        heard = decoded(raw)
    except InvalidAudio:
        assert size < 2
    else:
        assert len(heard) <= len(_TONE)


@pytest.mark.parametrize("rate", [0, 1, 999, 384_001, 2**31 - 1])
def test_absurd_rates_are_refused_before_anything_is_resampled(rate: int) -> None:
    with pytest.raises(InvalidAudio):
        decoded(wav_header(32_000, rate=rate) + _TONE.tobytes(), max_seconds=1e6)


@pytest.mark.parametrize(("container", "codec"), [("wav", "pcm_s16le"), ("flac", "flac"), ("mp3", "libmp3lame")])
def test_what_decodes_of_a_truncated_file_counts(container: str, codec: str) -> None:
    raw = encode_audio(make_tone(3.0), container, codec)

    heard = decoded(raw[: len(raw) * 2 // 3])

    assert 20_000 < len(heard) < 40_000


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "not an audio file"),
        (b"Hello, this is a text. " * 500, "not an audio file"),
        (bytes(range(256)) * 400, "not an audio file"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "not an audio file"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "not an audio file"),
        (wav_header(0), "no audio samples"),
        (_WAV[:20], "not an audio file"),
        (encode_video(), "no audio track"),
    ],
    ids=["empty", "text", "garbage", "playlist", "concat", "header", "half a header", "video"],
)
def test_what_is_no_audio_is_refused_with_a_sentence(raw: bytes, sentence: str) -> None:
    with pytest.raises(InvalidAudio, match=sentence):
        decoded(raw)


def test_too_much_audio_is_refused_while_it_is_decoded() -> None:
    pieces = decode(io.BytesIO(encode_audio(make_tone(5.0), "flac", "flac")), max_seconds=2.0)

    got: list[Samples] = []
    with pytest.raises(AudioTooLong, match="more than 2 seconds"):
        got.extend(pieces)
    assert sum(map(len, got)) <= 2 * 16_000


@pytest.mark.parametrize("container", ["flac", "webm"])
def test_a_file_that_says_it_is_far_too_long_is_refused_before_it_is_decoded(container: str) -> None:
    codec, rate = ("flac", 16_000) if container == "flac" else ("libopus", 48_000)
    raw = encode_audio(np.zeros(rate * 30, dtype=np.int16), container, codec, rate=rate)
    if container == "webm":  # as browsers record: no header tells the length
        place = raw.index(b"\x44\x89\x88")
        raw = raw[:place] + b"\xec\x89" + raw[place + 2 :]

    assert len(next(decode(io.BytesIO(raw), max_seconds=20.0)))  # not far: decoding will tell
    with pytest.raises(AudioTooLong):
        next(decode(io.BytesIO(raw), max_seconds=10.0))


def test_a_path_is_a_file_and_never_an_address(tmp_path: Path) -> None:
    path = tmp_path / "file:tone,subfile.wav"
    path.write_bytes(_WAV)

    assert np.array_equal(np.concatenate(list(decode(path, 10.0))), _TONE)


@pytest.mark.slow
def test_decoding_loads_nothing_more_into_a_process_that_may_open_nothing(tmp_path: Path) -> None:
    loud = np.tile(make_tone(1.0), 2).astype("<f4").tobytes()
    film = encode_video(sound=make_tone(1.0, 48_000))
    names = []
    for number, raw in enumerate([_WAV, wave_file(loud, 16_000, "pcm_f32le"), film, film[: len(film) // 2], b"text"]):
        names.append(tmp_path / str(number))
        names[-1].write_bytes(raw)
    program = """
import contextlib, pathlib, sys
from gigastt.audio.decode import decode
from gigastt.errors import InvalidAudio
loaded = set(sys.modules)
for name in sys.argv[1:]:
    with contextlib.suppress(InvalidAudio), open(name, "rb") as file:
        list(decode(file, 60.0))
print(sorted(set(sys.modules) - loaded))
"""
    done = subprocess.run([sys.executable, "-c", program, *map(str, names)], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


_SHORT = make_tone(0.3, 48_000)
_SEEDS = [encode_audio(_SHORT, *form, rate=48_000, channels=2) for form in [("wav", "pcm_s16le"), *_CLOSE[3:]]]


@given(
    seed=st.sampled_from(_SEEDS),
    changes=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=30),
    cut=st.integers(0, 2**16),
)
@tries(150, HealthCheck.large_base_example)
def test_a_mutated_file_is_decoded_or_refused(seed: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    raw = bytearray(seed)
    for place, value in changes:
        raw[place % len(raw)] = value
    try:
        heard = decoded(bytes(raw[: len(raw) - cut % len(raw)]), max_seconds=30.0)
    except (InvalidAudio, AudioTooLong):
        return
    assert heard.dtype == np.int16
    assert len(heard) <= 30 * 16_000
