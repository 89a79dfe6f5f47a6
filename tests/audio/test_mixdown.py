"""A voice is heard in whichever channel or track it is: opposite, alone, in the centre."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import cast

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.audio.stream import AudioStream
from av.stream import Disposition

from gigastt.audio.decode import decode
from gigastt.audio.pcm import Samples
from tests.fakes.audio_files import make_tone

_RATE = 48_000
_VOICE = make_tone(2.0, _RATE)
_OTHER = make_tone(2.0, _RATE, hz=1_000.0)
_NOTHING = np.zeros_like(_VOICE)


def decoded(raw: bytes) -> Samples:
    return np.concatenate(list(decode(io.BytesIO(raw), 60.0)))


def wave(*channels: npt.NDArray[np.int16], layout: str) -> bytes:
    return film([(np.stack(channels), layout, "", False)], container="wav", codec="pcm_s16le")


def film(
    tracks: list[tuple[npt.NDArray[np.int16], str, str, bool]],
    container: str = "matroska",
    codec: str = "ac3",
    rate: int = _RATE,
) -> bytes:
    """Write tracks, each: samples [channels, samples], layout, language, whether it is a default one."""
    target = io.BytesIO()
    with av.open(target, mode="w", format=container) as output:
        streams = []
        for _, layout, language, is_default in tracks:
            stream = cast(AudioStream, output.add_stream(codec, rate=rate, layout=layout))
            stream.metadata["language"] = language
            stream.disposition = Disposition.default if is_default else Disposition(0)
            streams.append(stream)
        for stream, (samples, layout, _, _) in zip(streams, tracks, strict=True):
            interleaved = np.ascontiguousarray(samples.T.reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate)
            for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
                output.mux(stream.encode(piece))
    return target.getvalue()


def level(heard: Samples, hz: float = 440.0) -> float:
    """Return how loud a tone is, as a share of what `make_tone` makes."""

    def peak(samples: npt.NDArray[np.int16], rate: int) -> float:
        spectrum = np.abs(np.fft.rfft(samples.astype(float))) / len(samples)
        place = round(hz * len(samples) / rate)
        return float(spectrum[place - 3 : place + 4].max())

    return peak(heard, 16_000) / peak(make_tone(2.0, 16_000, hz), 16_000)


@pytest.mark.parametrize(
    ("channels", "layout", "wanted"),
    [
        ((_VOICE, _VOICE), "stereo", 1.0),
        ((_VOICE, -_VOICE), "stereo", 1.0),
        ((_VOICE, -_VOICE // 2), "stereo", 0.75),
        ((_VOICE, _NOTHING), "stereo", 0.5),
        ((_VOICE, _OTHER), "stereo", 0.5),
        ((_VOICE, -_VOICE, _VOICE, -_VOICE), "quad", 1.0),
        ((_NOTHING, _NOTHING, _VOICE, _OTHER, _NOTHING, _NOTHING), "5.1", 0.8),
        ((_VOICE, -_VOICE, _NOTHING, _NOTHING, _NOTHING, _NOTHING), "5.1", 0.1),
        ((_VOICE, _VOICE, _OTHER), "2.1", 1.0),
    ],
    ids=[
        "equal",
        "opposite",
        "weaker opposite",
        "one is dead",
        "two voices",
        "quad",
        "centre",
        "sides only",
        "effects",
    ],
)
def test_a_voice_is_heard_in_whichever_channels_it_is(
    channels: tuple[npt.NDArray[np.int16], ...], layout: str, wanted: float
) -> None:
    heard = decoded(wave(*channels, layout=layout))

    assert level(heard) == pytest.approx(wanted, rel=0.03)


def test_eight_channels_in_planes_of_their_own_are_heard() -> None:
    channels = np.stack([_NOTHING, _NOTHING, _VOICE, _OTHER, *[_NOTHING] * 4])

    assert level(decoded(film([(channels, "7.1", "", False)], codec="aac"))) > 0.6


def test_low_frequency_effects_are_left_out() -> None:
    heard = decoded(wave(_VOICE, _VOICE, _OTHER, layout="2.1"))

    assert level(heard, 1_000.0) < 0.01


def test_music_beside_the_centre_is_far_below_it() -> None:
    heard = decoded(wave(_OTHER, _OTHER, _VOICE, _NOTHING, _OTHER, _OTHER, layout="5.1"))

    assert level(heard, 1_000.0) < level(heard) / 3


def test_channels_that_become_opposite_are_heard_on() -> None:
    right = np.concatenate([_VOICE, -_VOICE, _VOICE])
    heard = decoded(wave(np.concatenate([_VOICE] * 3), right, layout="stereo"))

    for second in (0, 2, 4):
        assert level(heard[second * 16_000 : (second + 2) * 16_000]) > 0.8


@pytest.mark.parametrize(
    "tracks",
    [
        [(_OTHER, "mono", "eng", False), (_VOICE, "mono", "rus", True)],
        [(_OTHER, "mono", "rus", False), (_VOICE, "mono", "eng", True)],
        [(_OTHER, "mono", "eng", False), (_VOICE, "mono", "rus", False)],
        [(_OTHER, "mono", "eng", True), (_VOICE, "mono", "rus", True)],
        [(_VOICE, "mono", "", False), (_OTHER, "mono", "", False)],
        [(_NOTHING, "mono", "", False), (_VOICE, "mono", "", False)],
        [(_NOTHING, "mono", "rus", True), (_VOICE, "mono", "eng", False)],
    ],
    ids=["default", "default English", "Russian", "all default", "first", "silent first", "silent default"],
)
def test_of_several_tracks_the_one_is_heard_that_a_listener_would_choose(
    tracks: list[tuple[npt.NDArray[np.int16], str, str, bool]],
) -> None:
    heard = decoded(film([(samples[np.newaxis], *rest) for samples, *rest in tracks]))  # type: ignore[misc]

    assert level(heard) > 0.9
    assert level(heard, 1_000.0) < 0.05
