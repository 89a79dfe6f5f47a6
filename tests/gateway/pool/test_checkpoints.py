"""A session that goes on in another pool from a checkpoint of the first tells the finals that one alone would have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.gateway.pool.events import Checkpoint, TrackCheckpoint
from gigastt.gateway.pool.session import Session
from gigastt.transcript import Final, Options
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.scripted import BLOCK, speech
from tests.properties import tries

Told = tuple[int, int, str, float, str]  # channel, number, text, end, reason


@asynccontextmanager
async def listening(pool: MemoryPool, channels: int, checkpoint: Checkpoint | None = None) -> AsyncIterator[Session]:
    session = Session(
        pool, Options(), channels=channels, checkpoint=checkpoint, keeps_checkpoints=True, clock=lambda: 0.0
    )
    try:
        yield session
    finally:
        session.cancel()


def push(session: Session, channel: int, samples: np.ndarray) -> None:
    sending = session.send(channel, samples.tobytes())
    with pytest.raises(StopIteration):
        sending.send(None)


async def tell_all(session: Session, pool: MemoryPool) -> list[Told]:
    session.finish()
    pool.run()
    return [told(event) async for event in session.events() if isinstance(event, Final)]


def told(final: Final) -> Told:
    return final.channel, final.seq, final.text, final.end, final.reason


async def read_some(session: Session, count: int) -> list[Told]:
    """Read finals until there are so many."""
    found: list[Told] = []
    async for event in session.events():
        if isinstance(event, Final):
            found.append(told(event))
        if len(found) == count:
            return found
    return found


@tries(80)
@given(scripts=st.lists(st.lists(st.integers(0, 3), max_size=60), min_size=1, max_size=2), data=st.data())
def test_finals_go_on_from_any_checkpoint(scripts: list[list[int]], data: st.DataObject) -> None:
    async def play() -> None:
        size = max(map(len, scripts))
        audio = [speech([*script, *[0] * (size - len(script))]) for script in scripts]
        whole = MemoryPool(workers=1, poison=None)
        async with listening(whole, len(audio)) as session:
            for channel, samples in enumerate(audio):
                push(session, channel, samples)
            control = await tell_all(session, whole)

        first = MemoryPool(workers=1, poison=None)
        cut = data.draw(st.integers(0, size * BLOCK), label="cut")
        async with listening(first, len(audio)) as session:
            for channel, samples in enumerate(audio):
                push(session, channel, samples[:cut])
            first.run()
            seen = data.draw(st.integers(0, session.next_seq), label="finals read before the cut")
            before = await read_some(session, seen) if seen else []
            checkpoint = session.checkpoint_before(seen)
        if checkpoint is None:  # two finals became ready at once: there is no moment between them
            return

        second = MemoryPool(workers=1, poison=None)
        async with listening(second, len(audio), checkpoint) as session:
            for channel, (samples, begin) in enumerate(zip(audio, checkpoint.tracks, strict=True)):
                push(session, channel, samples[begin.committed :])
            assert before + await tell_all(session, second) == control

    asyncio.run(play())


async def test_samples_before_a_flush_are_silence_to_whoever_goes_on_behind_it() -> None:
    odd = 3 * BLOCK + 100  # the flush falls into a block, and a stream begins at a block
    samples = np.concatenate([speech([1, 2, 3]), np.full(100, 4, np.int16), np.full(BLOCK - 100, 5, np.int16)])
    pool, other = MemoryPool(workers=1), MemoryPool(workers=1)
    async with listening(pool, 1) as session:
        push(session, 0, samples[:odd])
        session.flush()
        push(session, 0, np.concatenate([samples[odd:], speech([6, 0])]))
        pool.run()
        [flushed] = await read_some(session, 1)
        checkpoint = session.checkpoint_before(1)
        control = await tell_all(session, pool)
    assert flushed[4] == "flush"
    assert checkpoint is not None
    assert (checkpoint.tracks[0].committed, checkpoint.tracks[0].silent_until) == (3 * BLOCK, odd)
    async with listening(other, 1, checkpoint) as session:
        push(session, 0, samples[3 * BLOCK :])
        push(session, 0, speech([6, 0]))
        assert await tell_all(session, other) == control


async def test_a_state_that_knows_more_audio_than_credit_allows_is_given_all_of_it() -> None:
    pool = MemoryPool(workers=1)
    begin = Checkpoint((TrackCheckpoint(BLOCK, 10 * 16_000, 0, b"s"),), next_seq=7)
    async with listening(pool, 1, begin) as session:
        assert session.tracks[0].room >= 10 * 16_000
