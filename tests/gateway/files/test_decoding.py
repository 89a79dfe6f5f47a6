"""An upload becomes its channels' samples, within the shares of its client."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import cast

import pytest

from gigastt.audio.selection import ALL_MIXED, FileChoice, Selection
from gigastt.errors import AudioTooLong, CapacityTimeout, InvalidAudio
from gigastt.gateway.files.decoder import FileDecoder
from gigastt.gateway.files.decoding import Decoding
from gigastt.gateway.pool.turnstile import Patience
from gigastt.transcript import Gap, HeardTrack
from tests.fakes.pool import FakeDecoder

_SPLIT = FileChoice(splits_channels=True)


class FakeBody:
    """Ten seconds of samples."""

    client = "somebody"

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("body")
        os.write(self._descriptor, bytes(320_000))

    def open(self) -> int:
        return self._descriptor

    def close(self) -> None:
        os.close(self._descriptor)


@pytest.fixture
def body() -> Iterator[FakeBody]:
    body = FakeBody()
    yield body
    body.close()


def decoding_with(decoder: FakeDecoder, max_seconds: float = 100.0) -> Decoding:
    return Decoding(cast(FileDecoder, decoder), lambda: max_seconds)


async def test_channels_are_mixed_unless_they_are_asked_for(body: FakeBody) -> None:
    decoder = FakeDecoder()
    decoder.track = HeardTrack(1, 2, "rus")
    async with decoding_with(decoder).decode(body, FileChoice("rus"), Patience(1)) as file:
        assert list(file.channels) == [0]
        assert (file.seconds, file.copies, file.track) == (10.0, (), decoder.track)
    assert decoder.selections == [Selection("rus")]
    assert decoder.segments[0].freed


async def test_each_channel_that_is_no_copy_is_decoded_by_itself(body: FakeBody) -> None:
    decoder = FakeDecoder()
    decoder.copies, decoder.holes = (None, 0, None), (Gap("audio_missing", 1.0, 2.0),)
    async with decoding_with(decoder).decode(body, _SPLIT, Patience(1)) as file:
        assert list(file.channels) == [0, 2]
        assert [hole.channel for hole in file.holes] == [0, 2]
        assert not any(each.freed for each in decoder.segments)
    assert decoder.selections == [Selection(channel=0), Selection(channel=2)]
    assert all(each.freed for each in decoder.segments)


@pytest.mark.parametrize(
    ("copies", "max_seconds", "error"), [((None, None, None), 25.0, AudioTooLong), ((None,) * 9, 100.0, InvalidAudio)]
)
async def test_too_much_is_refused_and_given_back(
    body: FakeBody, copies: tuple[None, ...], max_seconds: float, error: type[Exception]
) -> None:
    decoder = FakeDecoder()
    decoder.copies = copies
    with pytest.raises(error):
        async with decoding_with(decoder, max_seconds).decode(body, _SPLIT, Patience(1)):
            pass
    assert all(each.freed for each in decoder.segments)


async def test_all_channels_count_for_the_share(body: FakeBody) -> None:
    decoder = FakeDecoder()
    decoder.copies = (None,) * 8
    decoding = decoding_with(decoder, 100.0)
    async with AsyncExitStack() as stack:
        for _ in range(7):  # 2.56 MB each, of the 3.2 MB of 100 s and the 16 MiB that are reserved beside
            await stack.enter_async_context(decoding.decode(body, _SPLIT, Patience(1)))
        with pytest.raises(CapacityTimeout):
            await stack.enter_async_context(decoding.decode(body, _SPLIT, Patience(1)))
    async with decoding.decode(body, ALL_MIXED, Patience(1)):
        pass
