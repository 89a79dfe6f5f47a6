"""The timeline: a track's packets decoded and laid out by the container's clock.

Frames follow each other without a seam as long as the clock agrees with the samples to within `TOLERANCE`. When it
is ahead, audio is missing there: silence takes its place, so that every later word has its time, and a hole is
reported if packets were damaged or the gap is long. When it falls behind, the samples count (nothing that can be
heard is dropped); when it goes back, another recording has begun, which follows the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from gigastt.errors import AudioTooLong, InvalidAudio
from gigastt.transcript import Gap, GapCode

TOLERANCE = 0.02  # s; Matroska's clock is rounded to 1 ms, Vorbis's strays by 11 ms
SHORTEST_MISSING = 0.5  # s; a shorter gap between good packets is silence that the encoder left out
MOST_HOLES = 32  # that are told of one by one
LATEST_START = 3600.0  # s; a clock that begins later than that is not the recording's own
_NEAR = 0.25  # s between two holes that are told of as one
_LONGEST_JUMP = 10.0  # s; in a broadcast a longer one is a clock that was set
_OWN_CLOCK = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}  # time 0 is the recording's beginning by definition
_FEW_ERRORS = 10  # damaged packets that a file may have, whatever else is in it


def add_hole(holes: list[Gap], hole: Gap) -> None:
    """Append a hole; join it to the last one of its kind if that is near, or if there are `MOST_HOLES` already."""
    last = holes[-1] if holes else None
    if last and ((last.code == hole.code and hole.start - last.end < _NEAR) or len(holes) >= MOST_HOLES):
        holes[-1] = Gap(last.code, last.start, hole.end)
    else:
        holes.append(hole)


@dataclass(frozen=True, slots=True)
class Silence:
    """So many seconds in which the file has no audio."""

    seconds: float


@dataclass(frozen=True, slots=True)
class _Lost:
    """A packet that could not be decoded, and how long it says it is (seconds, 0 if it does not)."""

    seconds: float


@dataclass(slots=True)
class Timeline:
    """The place of a file's next sample.

    max_seconds: a gap that leads beyond is refused before any silence is made.
    position: seconds of audio and silence so far, over all recordings of the file.
    """

    max_seconds: float
    on_hole: Callable[[Gap], None]
    position: float = field(default=0.0, init=False)

    def lay_out(self, container: InputContainer, track: AudioStream) -> Iterator[av.AudioFrame | Silence]:
        """Decode a track; yield its frames, and the silences between them.

        Raises:
            InvalidAudio: nothing in it can be decoded, or hardly anything.
            AudioTooLong: a gap leads beyond `max_seconds`.
        """
        tick = float(track.time_base or 0)
        zero: float | None = None  # the position at the clock's time 0
        last, lost = 0.0, 0.0
        is_damaged = False
        for frame in _decode(container, track):
            if isinstance(frame, _Lost):
                is_damaged, lost = True, lost + frame.seconds
                continue
            gap, is_late_start = lost, False
            if frame.pts is not None and tick:
                time = frame.pts * tick
                if zero is None:
                    late = _late_start(container, time)
                    zero, is_late_start = self.position - time + late, late > 0
                elif time < last - TOLERANCE or (
                    container.format.name == "mpegts" and zero + time - self.position > _LONGEST_JUMP
                ):
                    zero = self.position - time + lost
                last = time
                gap = zero + time - self.position
            if is_late_start or gap > TOLERANCE:
                yield self._fill(gap, "audio_damaged" if is_damaged else None if is_late_start else "audio_missing")
            is_damaged, lost = False, 0.0
            yield frame  # the next step refuses a rate of 0
            self.position += frame.samples / frame.sample_rate
        if lost > TOLERANCE:
            yield self._fill(lost, "audio_damaged")

    def _fill(self, seconds: float, code: GapCode | None) -> Silence:
        """Make silence; declare it as a hole of that code, unless it was silent by right (None) or is short."""
        end = self.position + seconds
        if end > self.max_seconds:
            raise too_long(self.max_seconds)
        if code == "audio_damaged" or (code == "audio_missing" and seconds >= SHORTEST_MISSING):
            self.on_hole(Gap(code, self.position, end))
        self.position = end
        return Silence(seconds)


def _late_start(container: InputContainer, time: float) -> float:
    """Return how long after the recording's beginning its first sample is heard; 0 if that cannot be told."""
    begin = 0.0
    if container.format.name not in _OWN_CLOCK:
        ticks = [(stream.start_time, stream.time_base) for stream in container.streams]
        begin = min((float(start * tick) for start, tick in ticks if start is not None and tick), default=time)
    return time - begin if 0 < time - begin <= LATEST_START else 0.0


def read_packets(container: InputContainer, track: AudioStream) -> Iterator[av.Packet[AudioStream] | None]:
    """Yield a track's packets, and last None where the file is damaged so that no more can be read.

    A track that begins in the middle of the file, as in broadcasts, ends PyAV's reading; it is begun again there.
    """
    for _ in range(_FEW_ERRORS):
        try:
            yield from container.demux(track)
        except IndexError:
            continue
        except (av.FFmpegError, ValueError):
            break
        return
    yield None


def _decode(container: InputContainer, track: AudioStream) -> Iterator[av.AudioFrame | _Lost]:
    """Yield decoded frames, over damaged packets and up to a damaged end."""
    tick = float(track.time_base or 0)
    frames, errors = 0, 0
    for packet in read_packets(container, track):
        if packet is None:
            errors += 1
            break
        try:
            decoded = [frame for frame in packet.decode() if isinstance(frame, av.AudioFrame)]
        except (av.FFmpegError, ValueError):
            errors += 1
            yield _Lost((packet.duration or 0) * tick)
            continue
        frames += len(decoded)
        yield from decoded
    if errors and (not frames or errors > max(_FEW_ERRORS, frames)):
        raise InvalidAudio("The file is damaged: its audio cannot be decoded.")


def too_long(max_seconds: float) -> AudioTooLong:
    """Return the refusal of a file that is too long."""
    return AudioTooLong(f"The file holds more than {max_seconds:g} seconds of audio.")
