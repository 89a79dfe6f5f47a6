"""Intake: which of the client's samples is which of the session's, and a second beginning amid the audio."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.audio.pcm import Encoding, sample_bytes
from gigastt.gateway.api.dialect import Configuration
from gigastt.gateway.api.intake import Intake, Position
from gigastt.gateway.pool.events import Checkpoint, TrackCheckpoint
from gigastt.gateway.pool.session import Session
from gigastt.transcript import Options
from tests.fakes.memory_pool import MemoryPool
from tests.properties import tries

RATES = [8_000, 8_001, 11_025, 16_000, 22_050, 44_100, 48_000]


def open_session(checkpoint: Checkpoint | None = None, channels: int = 1) -> Session:
    return Session(MemoryPool(), Options(partials=False), channels=channels, checkpoint=checkpoint)


def noise(samples: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(5).integers(-9_000, 9_000, samples * channels).astype("<i2")


def heard(session: Session, channel: int = 0) -> np.ndarray:
    source = session.tracks[channel].source
    return np.frombuffer(source.read(source.start, source.end), dtype="<i2")  # type: ignore[union-attr]


async def take_whole(raw: bytes, configuration: Configuration) -> Session:
    session = open_session(channels=configuration.channels)
    intake = Intake(session, configuration, lambda: 0.0)
    await intake.feed(raw)
    await intake.flush()
    return session


@tries(60)
@given(
    rate=st.sampled_from(RATES), channels=st.sampled_from([1, 2]), share=st.floats(0, 1), behind=st.integers(0, 3_000)
)
def test_audio_that_begins_again_gives_the_samples_that_it_gave(
    rate: int, channels: int, share: float, behind: int
) -> None:
    async def play() -> None:
        configuration = Configuration(sample_rate=rate, channels=channels)
        raw = noise(3 * rate, channels)
        whole = await take_whole(raw.tobytes(), configuration)

        first = open_session(channels=channels)
        intake = Intake(first, configuration, lambda: 0.0)
        await intake.feed(raw[: int(share * 3 * rate) * channels].tobytes())
        committed = first.tracks[0].source.end
        position = intake.needed_from(committed)
        assert position is not None
        assert position.session <= committed < position.session + 16_000 + 3_200 + 1
        commits = [committed, committed + behind][:channels]  # each channel has its own

        again = Checkpoint(tuple(TrackCheckpoint(commit, commit, 0, b"") for commit in commits), 0)
        second = open_session(again, channels)
        intake = Intake(second, configuration, lambda: 0.0, position)
        await intake.feed(raw[position.client * channels :].tobytes())
        await intake.flush()
        assert intake.received == 3 * rate
        for channel, commit in enumerate(commits):
            expected, found = heard(whole, channel)[commit:], heard(second, channel)
            assert len(found) == len(expected)
            differences = np.abs(expected.astype(int) - found)
            # soxr's floats differ in their last bits where it began elsewhere, so a few samples are rounded otherwise
            assert differences.max(initial=0) <= (0 if rate == 16_000 else 1)
            assert np.count_nonzero(differences) <= 5 + len(found) // 200

    asyncio.run(play())


@pytest.mark.parametrize("encoding", ["pcm_s16le", "pcm_f32le", "mulaw", "alaw"])
@pytest.mark.parametrize("channels", [1, 2])
async def test_half_a_sample_is_not_received(encoding: Encoding, channels: int) -> None:
    frame = sample_bytes(encoding) * channels
    intake = Intake(open_session(channels=channels), Configuration(16_000, encoding, channels), lambda: 0.0)
    await intake.feed(bytes(100 * frame + frame // 2))
    assert intake.received == 100
    intake.drop_rest()
    await intake.feed(bytes(10 * frame))
    assert intake.received == 110


async def test_after_a_flush_positions_count_from_there() -> None:
    configuration = Configuration(sample_rate=44_100)
    session = open_session()
    intake = Intake(session, configuration, lambda: 0.0)
    raw = noise(44_100)
    await intake.feed(raw[:12_345].tobytes())
    await intake.flush()
    flushed = session.tracks[0].source.end
    await intake.feed(raw[12_345:].tobytes())
    assert intake.needed_from(flushed - 1) is None
    assert intake.needed_from(flushed) == Position(12_345, flushed)
    behind = intake.needed_from(flushed + 3_200 + 320)
    assert behind == Position(12_345 + 882, flushed + 320)


async def test_a_frame_that_is_broken_off_goes_on_behind_what_was_received() -> None:
    session = open_session()
    intake = Intake(session, Configuration(sample_rate=16_000), lambda: 0.0)
    raw = noise(16_000 * 8)  # more than there is credit for
    feeding = asyncio.ensure_future(intake.feed(raw.tobytes()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    feeding.cancel()
    await asyncio.gather(feeding, return_exceptions=True)
    begin = intake.received
    assert 0 < begin < len(raw)
    session.tracks[0].consumed = 16_000 * 3  # as if a worker had
    feeding = asyncio.ensure_future(intake.feed(raw[begin:].tobytes()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    feeding.cancel()
    await asyncio.gather(feeding, return_exceptions=True)
    found = heard(session)
    assert len(found) > begin // 2
    assert np.array_equal(found, raw[: len(found)])
