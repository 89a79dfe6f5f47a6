"""Container decoding: the bytes of a file in, 16 kHz mono int16 out, in pieces and in bounded memory.

Runs in the disposable decoder process and in `gigastt transcribe`. Nothing a file says of itself is believed:
lengths are counted while decoding, and memory is never reserved by a header.

    file ─► recordings ─► containers ─► timeline ─► mixdown ─► loudness ─► resample
            one or more   one track     frames,     one        scaled if   16 kHz
            in a file     of each       silences    channel    it must be  int16
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeAlias

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer

from gigastt.audio.containers import choose_track, describe_track, open_container
from gigastt.audio.loudness import QUIET_PEAK, bring_into_range, peak_of
from gigastt.audio.mixdown import MIX_BLOCK_SAMPLES, Block, mix_down
from gigastt.audio.pcm import SAMPLE_RATE, Samples, Waveform
from gigastt.audio.recordings import Recording, find_recordings
from gigastt.audio.resample import Resampler
from gigastt.audio.selection import WHOLE, ChannelSurvey, Findings, Selection
from gigastt.audio.timeline import Silence, Timeline, add_hole, read_packets, too_long
from gigastt.errors import InvalidAudio, InvalidParameter

ByteSource: TypeAlias = Path | BinaryIO

_MOMENT_SAMPLES = 1_600
_LOUDEST_BACKGROUND = 100.0  # steps of int16: -50 dBFS
_AUDIBLE = 0.001  # -60 dBFS: a track that stays below is silent, if there is another


def _make_noise() -> Waveform:
    """Make noise of level 1, the same each time; by hashing, since a sandboxed process cannot load numpy.random."""
    bits = np.arange(1, MIX_BLOCK_SAMPLES + 1, dtype=np.uint32) * np.uint32(0x9E3779B1)
    for shift, factor in ((15, 0x85EBCA77), (13, 0xC2B2AE3D)):
        bits = (bits ^ (bits >> np.uint32(shift))) * np.uint32(factor)
    uniform: Waveform = (bits ^ (bits >> np.uint32(16))).astype(np.float32) / np.float32(2**31) - np.float32(1)
    return uniform * np.float32(np.sqrt(3))


_NOISE = _make_noise()


def decode(
    source: ByteSource, max_seconds: float, findings: Findings | None = None, selection: Selection = WHOLE
) -> Iterator[Samples]:
    """Decode what a listener would hear of a file, at the times that its container gives.

    All recordings in it follow each other; of several tracks the default one is heard, else a Russian one, else the
    first that is not silent. Gaps and damage become silence. Channels are mixed so that speech cannot cancel. A file
    that ends early counts as far as it goes. 16 kHz mono PCM16 comes out as its exact samples.

    Args:
        source: a file of one of `formats.SUPPORTED_FORMATS`, in any rate and number of channels.
        max_seconds: how much audio may come out.
        findings: is filled while samples come out; a hole is in it before the silence that fills it is yielded.
        selection: one track or channel instead.

    Raises:
        InvalidAudio: there is no audio in it that can be decoded; the message says why.
        InvalidParameter: it has no such track.
        AudioTooLong: more than `max_seconds` came out, or a recording says that far more would.
    """
    if isinstance(source, Path):  # opened here and not by libav, to which a name may also be an address
        with source.open("rb") as file:
            yield from decode(file, max_seconds, findings, selection)
        return
    findings = findings or Findings()
    left = int(max_seconds * SAMPLE_RATE)
    some = False
    blocks = _blocks(source, max_seconds, findings, selection)
    for samples in _resample(bring_into_range(blocks, lambda: _measure_peak(source, max_seconds, selection))):
        some = True
        left -= len(samples)
        if left < 0:
            raise too_long(max_seconds)
        yield samples
    if not some:
        raise InvalidAudio("The file holds no audio samples.")


def _blocks(
    source: BinaryIO, max_seconds: float, findings: Findings, selection: Selection
) -> Iterator[Block | Silence]:
    """Decode a file's recordings one behind the other, up to the first that is damaged as a whole."""
    timeline = Timeline(max_seconds, partial(add_hole, findings.holes))
    for recording in find_recordings(source):
        try:
            with open_container(recording) as container:
                track = choose_track(container, partial(_has_sound, recording), selection.track)
                findings.track = findings.track or describe_track(container, track)
                if _is_far_longer(recording, container, track, max_seconds - timeline.position):
                    raise too_long(max_seconds)
                yield from mix_down(timeline.lay_out(container, track), selection.channel, findings.channels)
        except (InvalidAudio, InvalidParameter):
            if not timeline.position:
                raise
            return


def _is_far_longer(recording: Recording, container: InputContainer, track: AudioStream, seconds: float) -> bool:
    """Tell whether a recording says that it is far longer than so many seconds, without decoding it.

    This turns an honest recording of ten hours away before any memory is spent on it; one that lies is caught while it
    is decoded. Where the header says nothing, or too much, the packets are counted. Leaves the recording where it was.
    """
    most = seconds * 1.05 + 10
    if container.duration is not None and container.duration / av.time_base <= most:
        return False
    place = recording.tell()
    with open_container(recording) as counted:
        counted_track = counted.streams[track.index]
        assert isinstance(counted_track, AudioStream)
        tick = float(track.time_base or 0)
        for packet in read_packets(counted, counted_track):
            most -= (packet.duration or 0) * tick if packet else 0.0  # at a damaged end: what was counted counts
            if most < 0:
                break
    recording.seek(place)
    return most < 0


def _has_sound(recording: Recording, index: int) -> bool:
    """Decode a track until something can be heard in it; leaves the recording where it was."""
    place = recording.tell()
    timeline = Timeline(float("inf"), lambda hole: None)
    try:
        with open_container(recording) as container:
            track = container.streams[index]
            assert isinstance(track, AudioStream)
            blocks = mix_down(timeline.lay_out(container, track), None, ChannelSurvey())
            return any(isinstance(block, Block) and peak_of(block.waveform) > _AUDIBLE for block in blocks)
    except InvalidAudio:
        return False
    finally:
        recording.seek(place)


def _measure_peak(source: BinaryIO, max_seconds: float, selection: Selection) -> float:
    """Decode a file from its beginning until its peak is known, or is at least `QUIET_PEAK`."""
    peak = 0.0
    for block in _blocks(source, max_seconds, Findings(), selection):
        if isinstance(block, Block):
            peak = max(peak, peak_of(block.waveform))
            if peak >= QUIET_PEAK:
                break
    return peak


def _resample(blocks: Iterator[Block | Silence]) -> Iterator[Samples]:
    """Bring blocks to 16 kHz; rate and channels may change from one to the next."""
    rate = 0
    resampler = Resampler(SAMPLE_RATE)
    recent = _Recent()
    for block in blocks:
        if isinstance(block, Silence) or block.rate != rate:
            yield from recent.pass_on(resampler.flush())
            rate = 0
        if isinstance(block, Silence):
            yield from recent.fill(round(block.seconds * SAMPLE_RATE))
            continue
        if not rate:
            rate, resampler = block.rate, Resampler(block.rate)
        yield from recent.pass_on(resampler.push(block.waveform))
    yield from recent.pass_on(resampler.flush())


class _Recent:
    """The last seconds of what came out, for the noise that fills a gap.

    Where a room's noise stops dead and starts again, the activity detector takes the start for speech, 0.4 s early.
    So a gap is filled with noise as faint as the faintest moment before it: with zeros if that was silent.
    """

    def __init__(self) -> None:
        self._pieces = deque[Samples](maxlen=8)
        self._unmeasured = 0  # samples since the background was measured
        self._background = np.zeros(MIX_BLOCK_SAMPLES, dtype=np.int16)

    def pass_on(self, samples: Samples) -> Iterator[Samples]:
        if len(samples):
            self._pieces.append(samples)
            self._unmeasured += len(samples)
            yield samples

    def fill(self, count: int) -> Iterator[Samples]:
        """Yield so many samples of background."""
        if self._unmeasured >= SAMPLE_RATE // 2:
            self._background = np.rint(_NOISE * self._measure_background()).astype(np.int16)
            self._unmeasured = 0
        for begin in range(0, count, MIX_BLOCK_SAMPLES):
            yield self._background[: count - begin]

    def _measure_background(self) -> float:
        """Return the level (root mean square, in steps of int16) of the faintest moment of those kept."""
        samples = np.concatenate([np.zeros(0, dtype=np.int16), *self._pieces]).astype(np.float32)
        moments = samples[len(samples) % _MOMENT_SAMPLES :].reshape(-1, _MOMENT_SAMPLES)
        if not len(moments):
            return 0.0
        return min(float(np.sqrt(np.square(moments).mean(axis=1).min())), _LOUDEST_BACKGROUND)
