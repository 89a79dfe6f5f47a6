"""Each kind of recording that people really have, three times over: the plain clip's words, at their times."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soxr

from gigastt.audio.decode import decode
from gigastt.speech.recognizer import Recognizer
from gigastt.transcribe import TranscribedFile, load_recognizer
from tests.audio.test_mixdown import film
from tests.clips import CLIPS, Clip, normalise
from tests.fakes.audio_files import encode_audio, make_tone, remux
from tests.positions import TOLERANCE_MS, measure_deviations
from tests.wave_files import wave_file

pytestmark = pytest.mark.slow

_PCM = Clip(CLIPS / "espeak_03.wav", "").pcm
_VOICE = np.frombuffer(_PCM, dtype=np.int16)
_WORDS, _SECOND_WORD, _SECONDS = "закрой шторы в спальне", 0.96, len(_VOICE) / 16_000
_SILENCE = np.zeros(16_000, dtype=np.int16)
_WIDE = soxr.resample(_VOICE, 16_000, 48_000)
_MUSIC = make_tone(_SECONDS, 48_000)[: len(_WIDE)]

Samples = npt.NDArray[np.int16]


def encoded(container: str, codec: str, samples: Samples = _VOICE, rate: int = 48_000) -> bytes:
    wide = soxr.resample(samples, 16_000, rate) if rate != 16_000 else samples
    return encode_audio(wide, container, codec, rate=rate, channels=2 if codec == "vorbis" else 1)


def stereo(left: float, right: float) -> bytes:
    channels = np.stack([_VOICE * left, _VOICE * right]).astype(np.int16)
    return film([(channels, "stereo", "", False)], "wav", "pcm_s16le", 16_000)


def surround(container: str, codec: str) -> bytes:
    """Music at the sides, the voice in the centre."""
    music = np.pad(_MUSIC, (0, len(_WIDE) - len(_MUSIC))) // 4
    channels = np.stack([music, music, _WIDE, 0 * _WIDE, music, -music]).astype(np.int16)
    return film([(channels, "5.1", "", False)], container, codec)


def late(container: str, codec: str) -> bytes:
    """A recording that begins after 1.5 s."""
    whole = encoded(container, codec)
    return remux(whole, container, lambda _, body, ms: (body, ms + 1_500))


def gap(container: str, codec: str) -> bytes:
    """A recording with two seconds of silence before the voice, of which the container has lost one."""
    whole = encoded(container, codec, np.concatenate([_SILENCE, _SILENCE, _VOICE]))
    return remux(whole, container, lambda _, body, ms: None if 400 < ms < 1_500 else (body, ms))


def stale(size: int) -> bytes:
    raw = wave_file(_PCM, 16_000)
    return raw[:40] + struct.pack("<I", size) + raw[44:]


def level(factor: float) -> bytes:
    waveform = _VOICE.astype(np.float32) / 32_768 * np.float32(factor)
    return wave_file(waveform.astype("<f4").tobytes(), 16_000, "pcm_f32le")


def dubbed(*languages: str, default: int = -1) -> bytes:
    """The voice in the track `rus`; tones in the others."""
    voice, tone = np.stack([_WIDE]), np.stack([make_tone(_SECONDS, 48_000)])
    return film(
        [
            (voice if language == "rus" else tone, "mono", language, number == default)
            for number, language in enumerate(languages)
        ]
    )


# What it is, how it is made, how often the words are in it, and the seconds before them the first time.
_KINDS: list[tuple[str, Callable[[], bytes], int, float]] = [
    ("opposite phase", lambda: stereo(1, -1), 1, 0),
    ("opposite phase, one weaker", lambda: stereo(1, -0.6), 1, 0),
    ("one channel dead", lambda: stereo(0, 1), 1, 0),
    ("centre of 5.1 in wav", lambda: surround("wav", "pcm_s16le"), 1, 0),
    ("centre of 5.1 in flac", lambda: surround("flac", "flac"), 1, 0),
    ("centre of 5.1 in eac3", lambda: surround("matroska", "eac3"), 1, 0),
    ("late in matroska", lambda: late("matroska", "libmp3lame"), 1, 1.5),
    ("late in webm", lambda: late("webm", "libopus"), 1, 1.5),
    ("late in mp4", lambda: late("mp4", "aac"), 1, 1.5),
    ("gap in webm", lambda: gap("webm", "libopus"), 1, 2),
    ("gap in matroska", lambda: gap("matroska", "ac3"), 1, 2),
    ("gap in mpegts", lambda: gap("mpegts", "mp2"), 1, 2),
    ("chained opus", lambda: 2 * encoded("ogg", "libopus"), 2, 0),
    ("chained vorbis", lambda: encoded("ogg", "vorbis") + encoded("ogg", "vorbis", rate=44_100), 2, 0),
    ("chained flac", lambda: 2 * encoded("ogg", "flac", rate=16_000), 2, 0),
    ("joined wav", lambda: wave_file(_PCM, 16_000) * 2, 2, 0),
    ("joined mp3", lambda: 2 * encoded("mp3", "libmp3lame"), 2, 0),
    ("joined mp4", lambda: 2 * encoded("mp4", "aac"), 2, 0),
    ("size 0", lambda: stale(0), 1, 0),
    ("size of a pipe", lambda: stale(0xFFFF_FFFF), 1, 0),
    ("size of the first second", lambda: stale(32_000), 1, 0),
    ("12 dB over full scale", lambda: level(4), 1, 0),
    ("in the scale of 16 bits", lambda: level(32_768), 1, 0),
    ("60 dB down", lambda: level(0.001), 1, 0),
    ("Russian second", lambda: dubbed("eng", "rus"), 1, 0),
    ("Russian default", lambda: dubbed("eng", "rus", "deu", default=1), 1, 0),
    ("Russian last of three", lambda: dubbed("deu", "eng", "rus"), 1, 0),
    (
        "wma",
        lambda: encoded("asf", "wmav2", rate=44_100),
        1,
        2_048 / 44_100,
    ),  # a block, untold
    ("alac", lambda: encoded("ipod", "alac", rate=16_000), 1, 0),
    ("amr in 3gp", lambda: encoded("3gp", "libopencore_amrnb", rate=8_000), 1, 0),
]


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return load_recognizer("demo", Path("/nonexistent"))[1]


@pytest.mark.parametrize(("make", "times", "before"), [row[1:] for row in _KINDS], ids=[row[0] for row in _KINDS])
def test_the_words_are_those_of_the_plain_clip(
    make: Callable[[], bytes], times: int, before: float, recognizer: Recognizer
) -> None:
    file = TranscribedFile(io.BytesIO(make()), recognizer)
    words = [word for final in file.segments() for word in final.words]
    assert normalise(" ".join(word.text for word in words)) == " ".join([_WORDS] * times)
    assert words[1].start == pytest.approx(before + _SECOND_WORD, abs=0.06)  # the model tells steps of 40 ms


_SEAM_MS = {
    "joined mp3": 50.0,
    "joined mp4": 20.5,
}  # the padding of encoders between two recordings, which no clock tells


@pytest.mark.parametrize(("name", "make", "times", "before"), _KINDS, ids=[row[0] for row in _KINDS])
def test_every_part_of_the_voice_lies_within_20_ms_of_its_place(
    name: str, make: Callable[[], bytes], times: int, before: float
) -> None:
    heard = np.concatenate(list(decode(io.BytesIO(make()), 60.0)))

    for number in range(times):
        deviations = measure_deviations(heard, _VOICE, before + number * _SECONDS)
        most = _SEAM_MS.get(name, TOLERANCE_MS) if number else TOLERANCE_MS
        assert len(deviations) >= 3
        assert deviations == pytest.approx([0] * len(deviations), abs=most)
