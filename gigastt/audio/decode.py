"""Container decoding: the bytes of a file in, 16 kHz mono int16 out, in pieces and in bounded memory.

Runs in the disposable decoder process and in `gigastt transcribe`. Nothing a file says of itself is believed:
lengths are counted while decoding, memory is never reserved by a header, and of libav's formats and codecs only
the audio ones listed here are reachable (no playlist, which could name other files, and no video decoder).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer

from gigastt.audio.pcm import SAMPLE_RATE, Samples, Waveform, limit
from gigastt.audio.resample import Resampler
from gigastt.errors import AudioTooLong, InvalidAudio

Source: TypeAlias = Path | BinaryIO

SUPPORTED_FORMATS = ("wav", "flac", "mp3", "ogg", "opus", "m4a", "aac", "webm")
MIN_RATE, MAX_RATE = 1_000, 384_000  # beyond, a resampler blows a few bytes up to hours, or itself up
MAX_CHANNELS = 64

_FORMATS = "wav,w64,aiff,au,caf,flac,mp3,ogg,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac"
_CODECS = (
    "pcm_u8,pcm_s8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,"
    "pcm_f64be,pcm_alaw,pcm_mulaw,adpcm_ms,adpcm_ima_wav,flac,alac,mp3,mp3float,vorbis,opus,libopus,aac,aac_latm"
)
_OPTIONS = {
    "format_whitelist": _FORMATS,
    "codec_whitelist": _CODECS,
    "protocol_whitelist": "pipe",
    "max_probe_packets": "1",  # libav looks for other codecs in a WAV file's PCM, 5 ms for each file
    "max_size": "8192",  # bytes in a packet of a WAV file; each costs as much as its samples do
}
_BLOCK_SAMPLES = 16_384  # of the file's own rate, gathered before they are resampled
_FEW_ERRORS = 10  # damaged packets that a file may have, whatever else is in it

_TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
# A fraction of full scale for each width of integer samples.
_SCALES: dict[str, float] = {"s16": 2.0**-15, "s32": 2.0**-31, "s64": 2.0**-63}


class _Form(NamedTuple):
    """How a frame holds its samples; `kind` is libav's name of their type without the `p` of planes."""

    rate: int
    channels: int
    kind: str
    is_planar: bool


def decode(source: Source, max_seconds: float) -> Iterator[Samples]:
    """Decode a file's first audio track; channels are mixed down to their mean.

    A file that ends early counts as far as it goes. A WAV file of 16 kHz mono PCM16 gives its exact samples.

    Args:
        source: a file; WAV, FLAC, MP3, Ogg (Vorbis, Opus), M4A, AAC, WebM, in any rate and number of channels.
        max_seconds: how much audio may come out.

    Raises:
        InvalidAudio: there is no audio in it that can be decoded.
        AudioTooLong: more than `max_seconds` came out.
    """
    if isinstance(source, Path):  # opened here and not by libav, to which a name may also be an address
        with source.open("rb") as file:
            yield from decode(file, max_seconds)
        return
    left = int(max_seconds * SAMPLE_RATE)
    some = False
    with _open(source) as container:
        for samples in _resample(_frames(container)):
            some = True
            left -= len(samples)
            if left < 0:
                raise _too_long(max_seconds)
            yield samples
    if not some:
        raise InvalidAudio("The file holds no audio samples.")


def refuse_if_too_long(source: BinaryIO, max_seconds: float) -> None:
    """Refuse a file whose packets say, without being decoded, that they hold far more than `max_seconds`.

    This turns an honest file of ten hours away at once and before any memory is spent on it; one that lies is
    caught by `decode`. Leaves `source` at its beginning.

    Raises:
        AudioTooLong: it says so.
        InvalidAudio: it is not an audio file.
    """
    with _open(source) as container:
        stream = container.streams.audio[0]
        total, most = 0, (max_seconds * 1.05 + 10) / float(stream.time_base or 1)
        try:
            for packet in container.demux(stream):
                total += packet.duration or 0
                if total > most:
                    raise _too_long(max_seconds)
        except (av.FFmpegError, ValueError):
            pass  # a damaged end: what was counted counts
    source.seek(0)


def _open(source: BinaryIO) -> InputContainer:
    av.logging.set_level(av.logging.PANIC)  # libav prints what it finds in files, titles and all
    try:
        container = av.open(source, mode="r", options=dict(_OPTIONS))
    except (av.FFmpegError, ValueError, OverflowError) as exc:
        raise InvalidAudio("This is not an audio file of a known format.") from exc
    if not container.streams.audio:
        container.close()
        raise InvalidAudio("The file has no audio track.")
    return container


def _frames(container: InputContainer) -> Iterator[av.AudioFrame]:
    """Yield decoded frames, over damaged packets and up to a damaged end."""
    stream = container.streams.audio[0]
    frames, errors = 0, 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, ValueError):
            errors += 1
            break
        if packet is None:
            break
        try:
            decoded = [frame for frame in packet.decode() if isinstance(frame, av.AudioFrame)]
        except (av.FFmpegError, ValueError):
            errors += 1
            continue
        frames += len(decoded)
        yield from decoded
    if errors and (not frames or errors > max(_FEW_ERRORS, frames)):
        raise InvalidAudio("The file is damaged: its audio cannot be decoded.")


def _resample(frames: Iterator[av.AudioFrame]) -> Iterator[Samples]:
    """Bring frames to 16 kHz mono; rate and channels may change from one to the next (chained Ogg files)."""
    rate = 0
    resampler = Resampler(SAMPLE_RATE)
    for frame_rate, waveform in _blocks(frames):
        if frame_rate != rate:
            yield from _nonempty(resampler.flush())
            rate, resampler = frame_rate, Resampler(frame_rate)
        for begin in range(0, len(waveform), _BLOCK_SAMPLES):
            yield from _nonempty(resampler.push(waveform[begin : begin + _BLOCK_SAMPLES]))
    yield from _nonempty(resampler.flush())


def _blocks(frames: Iterator[av.AudioFrame]) -> Iterator[tuple[int, Waveform]]:
    """Gather frames of one form into mono blocks worth a call of the resampler: rate, float32 [samples]."""
    form, gathered, count = _Form(0, 0, "", is_planar=False), list[npt.NDArray[Any]](), 0
    for frame in frames:
        frame_form = _form_of(frame)
        if gathered and (frame_form != form or count >= _BLOCK_SAMPLES):
            yield form.rate, _mix_down(np.concatenate(gathered, axis=1), form)
            gathered, count = [], 0
        form = frame_form
        gathered.append(_samples_of(frame, form))
        count += frame.samples
    if gathered:
        yield form.rate, _mix_down(np.concatenate(gathered, axis=1), form)


def _form_of(frame: av.AudioFrame) -> _Form:
    kind = frame.format.name
    form = _Form(frame.sample_rate, frame.layout.nb_channels, kind.removesuffix("p"), kind.endswith("p"))
    if not MIN_RATE <= form.rate <= MAX_RATE:
        raise InvalidAudio(f"Expected a sample rate of {MIN_RATE} to {MAX_RATE} Hz, but got {form.rate}.")
    if not 1 <= form.channels <= MAX_CHANNELS:
        raise InvalidAudio(f"Expected at most {MAX_CHANNELS} channels, but got {form.channels}.")
    if form.kind not in _TYPES:
        raise InvalidAudio("The file's sample format is not supported.")
    return form


def _samples_of(frame: av.AudioFrame, form: _Form) -> npt.NDArray[Any]:
    """Return a frame's samples as they are, [channels, samples], in libav's own memory."""
    dtype, count = _TYPES[form.kind], frame.samples
    try:
        if form.is_planar:
            return np.stack([np.frombuffer(memoryview(plane), dtype, count) for plane in frame.planes])
        interleaved = np.frombuffer(memoryview(frame.planes[0]), dtype, count * form.channels)
        return interleaved.reshape(-1, form.channels).T
    except ValueError as exc:
        raise InvalidAudio("The file is damaged: its audio cannot be decoded.") from exc


def _mix_down(values: npt.NDArray[Any], form: _Form) -> Waveform:
    """Return the mean of the channels of [channels, samples], float32 [samples]."""
    waveform: Waveform
    if form.kind == "u8":
        waveform = (values.astype(np.float32) - np.float32(128)) * np.float32(2.0**-7)
    elif form.kind in _SCALES:
        waveform = values.astype(np.float32) * np.float32(_SCALES[form.kind])
    else:
        waveform = limit(values.astype(np.float32))
    mixed: Waveform = waveform[0] if form.channels == 1 else waveform.mean(axis=0, dtype=np.float32)
    return mixed


def _too_long(max_seconds: float) -> AudioTooLong:
    return AudioTooLong(f"The file holds more than {max_seconds:g} seconds of audio.")


def _nonempty(samples: Samples) -> Iterator[Samples]:
    if len(samples):
        yield samples
