"""Audio files of every kind, made in memory by PyAV, so that tests need no ffmpeg and carry no binaries."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from typing import cast

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream

RATE = 16_000


def make_tone(seconds: float = 1.0, rate: int = RATE, hz: float = 440.0) -> npt.NDArray[np.int16]:
    """Make a tone that grows and fades, int16 [samples], so that its place in time shows."""
    time = np.arange(round(seconds * rate)) / rate
    envelope = np.sin(np.pi * time / seconds)
    tone: npt.NDArray[np.int16] = np.rint(12_000 * envelope * np.sin(2 * np.pi * hz * time)).astype(np.int16)
    return tone


def encode_audio(
    samples: npt.NDArray[np.int16], container: str, codec: str, *, rate: int = RATE, channels: int = 1
) -> bytes:
    """Encode mono samples of `rate` into a file, the same in every channel."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    target = io.BytesIO()
    with av.open(target, mode="w", format=container) as output:
        stream = cast(AudioStream, output.add_stream(codec, rate=rate, layout=layout))
        stream.codec_context.options = {"strict": "experimental"}  # libav's own Vorbis encoder wants to be asked
        if codec.startswith("wma"):
            stream.bit_rate = 64_000
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate)
        wide = np.repeat(samples[np.newaxis], channels, axis=0)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wide), format="s16p", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            output.mux(stream.encode(piece))
    return target.getvalue()


def encode_video(seconds: int = 1, sound: npt.NDArray[np.int16] | None = None) -> bytes:
    """Encode a film, without sound, or with sound of 48 kHz and a subtitle track."""
    target = io.BytesIO()
    with av.open(target, mode="w", format="matroska") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        if sound is not None:
            audio = output.add_stream("ac3", rate=48_000, layout="mono")
            output.add_stream("ass").codec_context.subtitle_header = b"[Script Info]\n"
            frame = av.AudioFrame.from_ndarray(sound[np.newaxis], format="s16p", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
            resampler = av.AudioResampler(format=audio.format, layout="mono", rate=48_000)
            for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
                output.mux(audio.encode(piece))
        for number in range(10 * seconds):
            picture = np.full((64, 64, 3), number * 10, dtype=np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return target.getvalue()


def remux(raw: bytes, container: str, change: Callable[[int, bytes, int], tuple[bytes, int] | None]) -> bytes:
    """Write a file's first track into another container, packet by packet.

    Args:
        raw: the file.
        container: as `encode_audio` names it.
        change: gets a packet's number, bytes and time (in ticks of 1/1000 s), and returns what becomes of the last two.
    """
    target = io.BytesIO()
    with av.open(io.BytesIO(raw), mode="r") as source, av.open(target, mode="w", format=container) as output:
        track = source.streams.audio[0]
        stream = output.add_stream_from_template(track)
        for number, packet in enumerate(source.demux(track)):
            if packet.pts is None or packet.time_base is None:
                continue
            tick = packet.time_base * 1000
            changed = change(number, bytes(packet), round(packet.pts * tick))
            if changed is None:
                continue
            copy = av.Packet(changed[0])
            copy.time_base, copy.stream = packet.time_base, stream
            copy.pts = copy.dts = packet.pts + round((changed[1] - round(packet.pts * tick)) / tick)
            copy.duration, copy.is_keyframe = packet.duration, True
            output.mux_one(copy)
    return target.getvalue()
