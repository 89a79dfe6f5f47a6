"""Mixdown: decoded frames in, blocks of one channel out, by rules under which speech cannot vanish.

Channels of one weight are averaged. A channel that is mostly the negative of the strongest one (a cable soldered the
wrong way round, a "wide" microphone) is turned round first, or the two would cancel. In a layout with a centre
speech is in the centre: the others are mixed in far below it, so that a film's music does not drown it and a film
without a centre is still heard. Low-frequency effects are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import av
import numpy as np
import numpy.typing as npt

from gigastt.audio.pcm import SAMPLE_RATE, Waveform, Waveforms
from gigastt.audio.selection import ChannelSurvey
from gigastt.audio.timeline import Silence
from gigastt.errors import InvalidAudio

MIN_RATE, MAX_RATE = 1_000, 384_000  # beyond, a resampler blows a few bytes up to hours, or itself up
MAX_CHANNELS = 64
MIX_BLOCK_SAMPLES = 16_384  # of the file's own rate, gathered before they are mixed and resampled

_BESIDE_CENTRE = 1 / 16
_EFFECTS = ("LFE", "LFE2")
_OPPOSITE = -0.5  # correlation with the strongest channel from which on a channel is turned round
_MOST_COMPARED = 8  # channels; more are averaged as they are
_LOUDEST_FLOAT = 65_536.0  # some programs write floats in the scale of 16 bits; beyond is no audio
_TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
# A fraction of full scale for each width of integer samples.
_SCALES: dict[str, float] = {"s16": 2.0**-15, "s32": 2.0**-31, "s64": 2.0**-63}


@dataclass(frozen=True, slots=True)
class Block:
    """One channel of audio.

    waveform: float32 [samples]; full scale at ±1, which floats from a file may exceed.
    is_exact: it holds 16 kHz mono int16 as the file has them, and they are to come out as they are.
    """

    rate: int
    waveform: Waveform
    is_exact: bool = False


class _Form(NamedTuple):
    """How a frame holds its samples; `kind` is libav's name of their type without the `p` of planes."""

    rate: int
    channels: tuple[str, ...]
    kind: str
    is_planar: bool


def mix_down(
    frames: Iterator[av.AudioFrame | Silence], channel: int | None, survey: ChannelSurvey
) -> Iterator[Block | Silence]:
    """Gather frames of one form into mono blocks worth a call of the resampler; silences keep their places.

    Args:
        channel: the only one that is heard, silent where it is missing; None mixes all.
        survey: is told of the channels, if one is heard.

    Raises:
        InvalidAudio: a frame's form is absurd.
    """
    mixer: _Mixer | None = None
    for frame in frames:
        if isinstance(frame, Silence):
            if mixer is not None:
                yield from mixer.take()
            yield frame
            continue
        form = _form_of(frame)
        if mixer is None or form != mixer.form:
            if mixer is not None:
                yield from mixer.take()
            mixer = _Mixer(form, channel, survey)
        mixer.add(frame)
        if mixer.count >= MIX_BLOCK_SAMPLES:
            yield from mixer.take(MIX_BLOCK_SAMPLES)
    if mixer is not None:
        yield from mixer.take()


class _Mixer:
    """Mixes the channels of one form, and remembers how they agree."""

    def __init__(self, form: _Form, channel: int | None, survey: ChannelSurvey) -> None:
        self.form = form
        self._channel = channel
        self._survey = survey
        self._gathered = av.AudioFifo()  # libav's: a frame costs a quarter of what it costs in numpy
        self._factors = _weigh(form.channels)
        self._products = np.zeros((len(form.channels),) * 2)

    @property
    def count(self) -> int:
        """Samples gathered."""
        return self._gathered.samples

    def add(self, frame: av.AudioFrame) -> None:
        """Gather a frame."""
        frame.pts = None  # the fifo would compare it with its own count
        self._gathered.write(frame)

    def take(self, size: int = 0) -> Iterator[Block]:
        """Yield what has been gathered in blocks of a size, as far as it fills them; 0 takes all of it as one."""
        while (gathered := self._gathered.read(size)) is not None:
            yield self._block(gathered)

    def _block(self, gathered: av.AudioFrame) -> Block:
        waveforms = _to_float(_samples_of(gathered, self.form), self.form.kind)
        is_one = len(waveforms) == 1 or self._channel is not None
        is_exact = self.form.kind == "s16" and self.form.rate == SAMPLE_RATE and is_one
        return Block(self.form.rate, self._mix(waveforms), is_exact)

    def _mix(self, waveforms: Waveforms) -> Waveform:
        if self._channel is not None:
            self._survey.note(waveforms)
            return waveforms[self._channel] if self._channel < len(waveforms) else np.zeros_like(waveforms[0])
        mixed: Waveform = waveforms[0]
        if len(waveforms) == 1:
            return mixed
        if len(waveforms) <= _MOST_COMPARED:
            self._turn_opposites(waveforms)
        return self._factors @ waveforms

    def _turn_opposites(self, waveforms: Waveforms) -> None:
        """Turn round the channels that would cancel the strongest one; older blocks count half as much each time."""
        self._products *= 0.5
        self._products += [waveforms @ waveform for waveform in waveforms]  # in a third of the time of `@ waveforms.T`
        energies = np.diagonal(self._products)
        strongest = int(np.argmax(energies))
        scale = np.sqrt(energies * energies[strongest])
        signs = np.sign(self._factors)
        opposite = self._products[strongest] * signs * signs[strongest] < _OPPOSITE * scale
        self._factors[opposite] *= -1


def _weigh(channels: tuple[str, ...]) -> Waveform:
    """Return what each channel counts, float32 [channels]."""
    has_centre = "FC" in channels
    weights = [_weight_of(name, has_centre=has_centre) for name in channels]
    if len(channels) < 3 or not any(weights):
        weights = [1.0] * len(channels)
    return np.array(weights, dtype=np.float32) / np.float32(sum(weights))


def _weight_of(channel: str, *, has_centre: bool) -> float:
    if channel in _EFFECTS:
        return 0.0
    return _BESIDE_CENTRE if has_centre and channel != "FC" else 1.0


def _form_of(frame: av.AudioFrame) -> _Form:
    kind = frame.format.name
    count = frame.layout.nb_channels
    if not MIN_RATE <= frame.sample_rate <= MAX_RATE:
        raise InvalidAudio(f"Expected a sample rate of {MIN_RATE} to {MAX_RATE} Hz, but got {frame.sample_rate}.")
    if not 1 <= count <= MAX_CHANNELS:
        raise InvalidAudio(f"Expected at most {MAX_CHANNELS} channels, but got {count}.")
    if kind.removesuffix("p") not in _TYPES:
        raise InvalidAudio("The file's sample format is not supported.")
    names = ("",) * count if count < 3 else tuple(channel.name for channel in frame.layout.channels)
    return _Form(frame.sample_rate, names, kind.removesuffix("p"), kind.endswith("p"))


def _samples_of(frame: av.AudioFrame, form: _Form) -> npt.NDArray[Any]:
    """Return a frame's samples as they are, [channels, samples], in its own memory where they lie so."""
    dtype, count = _TYPES[form.kind], frame.samples
    try:
        if form.is_planar:
            # PyAV lists planes up to a null pointer, which from eight channels on lies anywhere.
            planes = frame.planes[: len(form.channels)]
            if len(planes) == 1:
                return np.frombuffer(memoryview(planes[0]), dtype, count)[np.newaxis]
            return np.stack([np.frombuffer(memoryview(plane), dtype, count) for plane in planes])
        interleaved = np.frombuffer(memoryview(frame.planes[0]), dtype, count * len(form.channels))
        return interleaved.reshape(-1, len(form.channels)).T
    except ValueError as exc:
        raise InvalidAudio("The file is damaged: its audio cannot be decoded.") from exc


def _to_float(values: npt.NDArray[Any], kind: str) -> Waveforms:
    """Return samples as float32, [channels, samples]; what is no number, or far beyond any scale, is silence."""
    waveforms: Waveforms
    if kind == "u8":
        return (values.astype(np.float32, order="C") - np.float32(128)) * np.float32(2.0**-7)
    if kind in _SCALES:
        waveforms = values.astype(np.float32, order="C") * np.float32(_SCALES[kind])
        return waveforms
    with np.errstate(over="ignore", invalid="ignore"):
        waveforms = values.astype(np.float32, order="C", copy=False)
    if not max(waveforms.max(), -waveforms.min()) <= _LOUDEST_FLOAT:  # true as well where there is a NaN
        waveforms[~(np.abs(waveforms) <= _LOUDEST_FLOAT)] = 0
    return waveforms
