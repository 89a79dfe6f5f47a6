"""Selection: the track and the channels of a file that are to be heard, and findings on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gigastt.audio.pcm import Waveforms
from gigastt.errors import InvalidParameter
from gigastt.transcript import Gap, HeardTrack

_ALIKE = 0.01  # of a channel's energy: so much more in it is what a codec has left of a copy (-20 dB)
_UNHEARD = 1e-5  # -50 dBFS: noise below that makes no channel differ from another


@dataclass(frozen=True, slots=True)
class Selection:
    """The part of a file that is heard.

    track: its number among the audio tracks, from 0, or its language; empty for the default one.
    channel: the only one that is heard, from 0; None mixes all.
    """

    track: str = ""
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class FileChoice:
    """The part of a file that its client wants to hear.

    track: as in `Selection`.
    splits_channels: each channel by itself.
    """

    track: str = ""
    splits_channels: bool = False


def read_choice(values: Mapping[str, str]) -> FileChoice:
    """Read what a client wants to hear of a file: `channels` and `track`.

    Raises:
        InvalidParameter: a value is wrong.
    """
    channels = values.get("channels", "").strip().lower()
    if channels not in ("", "mix", "split"):
        raise InvalidParameter("channels must be mix or split.", param="channels")
    track = values.get("track", "").strip()
    is_language = track.isascii() and track.replace("-", "").isalpha() and len(track) <= 12
    is_number = track.isascii() and track.isdecimal() and len(track) <= 3
    if track and not (is_language or is_number):
        message = "track must be the number of an audio track, from 0, or a language such as rus."
        raise InvalidParameter(message, param="track")
    return FileChoice(track, channels == "split")


WHOLE = Selection()
ALL_MIXED = FileChoice()


class ChannelSurvey:
    """The channels of a file that are copies of others, whatever their level and polarity.

    Two channels differ as soon as either has something for a moment that cannot be explained by the other.
    """

    def __init__(self) -> None:
        self._differ = np.ones((1, 1), dtype=bool)

    def note(self, waveforms: Waveforms) -> None:
        """Compare the channels of a block, float32 [channels, samples]."""
        count = len(waveforms)
        if count > len(self._differ):
            known, self._differ = self._differ, np.zeros((count, count), dtype=bool)
            self._differ[: len(known), : len(known)] = known
        products = waveforms @ waveforms.T / waveforms.shape[1]
        energies = np.diagonal(products)
        explained = np.square(products) / np.maximum(energies, 1e-12)  # [of, by]
        extra = energies[:, None] - explained > np.maximum(_ALIKE * energies, _UNHEARD)[:, None]
        self._differ[:count, :count] |= extra | extra.T

    def copies(self) -> tuple[int | None, ...]:
        """Return for each channel the first one before it that it is a copy of, None where there is none."""
        return tuple(
            next((first for first in range(channel) if not self._differ[channel, first]), None)
            for channel in range(len(self._differ))
        )


@dataclass(slots=True)
class Findings:
    """Facts about a file, found while it is decoded.

    holes: damaged spans and long gaps so far.
    track: the one that is heard; None where the file has no other.
    channels: is told of the channels where one of them is selected.
    """

    holes: list[Gap] = field(default_factory=list)
    track: HeardTrack | None = None
    channels: ChannelSurvey = field(default_factory=ChannelSurvey)
