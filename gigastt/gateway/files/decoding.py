"""Decoding: an upload becomes samples in shared memory, within the shares of its client.

    a turn to be decoded → shared segment, counted; one for each channel where channels are told apart

Runs in the task of the request, or of the job. When the body of `decode` ends, everything has been given back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, Protocol

from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.audio.selection import FileChoice, Selection
from gigastt.errors import AudioTooLong, InvalidAudio
from gigastt.gateway.files.decoder_report import DecodedFile
from gigastt.gateway.files.shares import Holding, Room
from gigastt.gateway.pool.turnstile import Patience, Slots
from gigastt.transcript import Gap, HeardTrack

MOST_DECODERS: Final = 4  # at once; more than cores, so that a short file need not wait for long ones
MOST_CHANNELS: Final = 8  # that are told apart
_RESERVED_BYTES = 16 * 1024 * 1024  # of shared memory, by files that are being decoded, ahead of their samples


class FileBody(Protocol):
    """The bytes of a file."""

    @property
    def client(self) -> Hashable: ...

    def open(self) -> int:
        """Return the descriptor of a file with all of them; it is this object's to close."""
        ...


@dataclass(frozen=True, slots=True)
class DecodedChannels:
    """A file as samples: its channels by their numbers, or channel 0 where they were mixed.

    copies: as in `Transcript`.
    """

    channels: Mapping[int, DecodedFile]
    copies: Sequence[int | None]

    @property
    def seconds(self) -> float:
        """The length of the audio."""
        return self._first.seconds

    @property
    def track(self) -> HeardTrack | None:
        """The track that is heard, where there are several."""
        return self._first.track

    @property
    def holes(self) -> list[Gap]:
        """The spans without audio, of every channel."""
        return [replace(hole, channel=channel) for hole in self._first.holes for channel in self.channels]

    @property
    def _first(self) -> DecodedFile:
        return self.channels[0]


class Decodes(Protocol):
    """A decoder; `decoder.FileDecoder` says what its arguments mean."""

    async def decode(
        self, descriptor: int, max_seconds: float, on_size: Callable[[int], None] = ..., selection: Selection = ...
    ) -> DecodedFile: ...


class Decoding:
    """Decodes uploads, as many as there is room for.

    Args:
        max_seconds: the longest audio; of all channels together, where they are told apart.
    """

    def __init__(self, decoder: Decodes, max_seconds: Callable[[], float]) -> None:
        self.slots = Slots(MOST_DECODERS)
        self.decoder = decoder
        self._max_seconds = max_seconds
        self._segments = Room(lambda: _longest_segment(max_seconds()), "shared memory")

    @asynccontextmanager
    async def decode(
        self, body: FileBody, choice: FileChoice, patience: Patience, began: Callable[[], None] = lambda: None
    ) -> AsyncIterator[DecodedChannels]:
        """Decode a file; free its samples at the end.

        Args:
            began: is called when its turn has come.

        Raises:
            CapacityTimeout, ShuttingDown: no turn in time, or no memory.
            InvalidAudio, AudioTooLong, InvalidParameter: not a file to recognise.
        """
        async with AsyncExitStack() as stack:
            memory = self._segments.hold(body.client)
            stack.callback(memory.release)
            async with self.slots.hold(body.client, patience):
                began()
                decoded = await self._decode(body, choice, memory, stack)
            yield decoded

    async def _decode(
        self, body: FileBody, choice: FileChoice, memory: Holding, stack: AsyncExitStack
    ) -> DecodedChannels:
        limit = self._max_seconds()
        descriptor = body.open()
        bytes_before = 0

        async def decode_one(channel: int | None) -> DecodedFile:
            selection = Selection(choice.track, channel)
            before = bytes_before
            file = await self.decoder.decode(descriptor, limit, lambda size: memory.change_to(before + size), selection)
            stack.callback(file.unlink)
            return file

        first = await decode_one(0 if choice.splits_channels else None)
        channels = {0: first}
        apart = [channel for channel, copy in enumerate(first.copies) if copy is None]
        if len(first.copies) > MOST_CHANNELS:
            raise InvalidAudio(f"The file has {len(first.copies)} channels; at most {MOST_CHANNELS} are told apart.")
        if apart and len(apart) * first.seconds > limit:
            raise AudioTooLong(f"The file's {len(apart)} channels hold more than {limit:g} seconds of audio together.")
        for channel in apart[1:]:
            bytes_before += 2 * first.samples
            channels[channel] = await decode_one(channel)
        return DecodedChannels(channels, first.copies)


def _longest_segment(max_seconds: float) -> int:
    """Return the bytes of shared memory that one client's files may take: those of the longest one."""
    return round(2 * SAMPLE_RATE * max_seconds) + _RESERVED_BYTES
