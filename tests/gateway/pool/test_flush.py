"""Flushes and previews through sessions: utterances that end, or are shown, before silence has come."""

from __future__ import annotations

import asyncio

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gigastt.gateway.pool.session import Session
from gigastt.ipc.messages import Finish, Preview
from gigastt.transcript import Final, Options, Partial
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.scripted import BLOCK, speech, transcript
from tests.properties import tries


def push(session: Session, samples: np.ndarray, channel: int = 0) -> None:
    session.push(channel, samples.tobytes())


async def events_of(session: Session) -> list[Final | Partial]:
    async with asyncio.timeout(5):
        return [event async for event in session.events() if isinstance(event, Final | Partial)]


async def finals_of(session: Session) -> list[Final]:
    return [event for event in await events_of(session) if isinstance(event, Final)]


async def test_a_flush_ends_the_utterance_and_audio_goes_on_with_its_times() -> None:
    pool = MemoryPool()
    session = Session(pool, Options())
    push(session, speech([1, 2]))
    session.flush()
    push(session, speech([3, 0, 4]))
    session.finish()
    pool.run()
    finals = await finals_of(session)
    assert [(f.text, f.reason, f.start, f.seq) for f in finals] == [
        ("w1 w2", "flush", 0.0, 0),
        ("w3", "silence", 0.08, 1),
        ("w4", "stop", 0.16, 2),
    ]


async def test_a_flush_is_answered_even_when_there_is_nothing_to_end() -> None:
    pool = MemoryPool()
    session = Session(pool, Options(), channels=2)
    push(session, speech([1, 0]), 0)
    push(session, speech([0, 0]), 1)
    session.flush()
    pool.run()
    session.finish()
    pool.run()
    assert sorted((f.channel, f.text) for f in await finals_of(session) if f.reason == "flush") == [(0, ""), (1, "")]


async def test_a_flush_amid_a_block_loses_no_sample() -> None:
    pool = MemoryPool()
    session = Session(pool, Options())
    push(session, speech([1, 2])[: BLOCK + 100])
    session.flush()
    pool.run()
    push(session, speech([2, 3])[100:])
    session.finish()
    pool.run()
    [flushed, last] = await finals_of(session)
    assert (flushed.text, last.text) == ("w1", "w3")  # the second block began before the flush, and so is silence
    assert session.tracks[0].committed == 3 * BLOCK
    assert last.words[0].start == 0.08


@tries(60)
@given(
    parts=st.lists(st.lists(st.integers(0, 9), max_size=30), min_size=1, max_size=5),
    data=st.data(),
)
def test_what_is_flushed_apart_is_recognised_apart_however_workers_die(
    parts: list[list[int]], data: st.DataObject
) -> None:
    async def play() -> None:
        pool = MemoryPool(workers=2, poison=None)
        session = Session(pool, Options())
        for number, part in enumerate(parts):
            if number:
                session.flush()
            push(session, speech(part))
            for _ in range(data.draw(st.integers(0, 3))):
                worker = data.draw(st.sampled_from(pool.workers))
                pool.step(worker, answers=data.draw(st.sampled_from([None, None, 0, 1, 2])))
            if data.draw(st.booleans()):
                session.preview()
            if pool.deaths % 20 > 10:
                pool.run()
        session.finish()
        pool.run()
        finals = await finals_of(session)
        assert [f.text.split() for f in finals if f.text] == [words for part in parts for words in transcript(part)]
        assert [f.seq for f in finals] == list(range(len(finals)))
        assert [f.reason for f in finals].count("flush") == len(parts) - 1
        assert finals[-1].reason == "stop"

    asyncio.run(play())


async def test_a_preview_is_told_as_final_and_the_final_follows_when_audio_goes_on() -> None:
    pool = MemoryPool()
    session = Session(pool, Options(partials=False))
    push(session, speech([1, 2]))
    session.preview()
    pool.run()
    push(session, speech([3, 0]))
    session.finish()
    pool.run()
    told = [(type(e).__name__, e.text, getattr(e, "as_final", None)) for e in await events_of(session)]
    assert told == [("Partial", "w1 w2", True), ("Final", "w1 w2 w3", None), ("Final", "", None)]


async def test_a_preview_survives_the_death_of_its_worker() -> None:
    pool = MemoryPool(workers=1)
    session = Session(pool, Options(partials=False))
    push(session, speech([1, 2]))
    session.preview()
    assert any(isinstance(message, Preview) for message in pool.workers[0].sent)
    pool.kill(pool.workers[0])
    pool.run()
    session.finish()
    pool.run()
    assert [event.text for event in await events_of(session)] == ["w1 w2", "w1 w2"]


async def test_a_preview_that_audio_has_overtaken_is_not_told() -> None:
    pool = MemoryPool(workers=1)
    session = Session(pool, Options(partials=False))
    push(session, speech([1, 2]))
    session.preview()
    push(session, speech([3]))
    session.finish()
    pool.run()
    assert [event.text for event in await events_of(session)] == ["w1 w2 w3"]


async def test_nothing_is_told_when_silence_pauses() -> None:
    pool = MemoryPool(workers=1)
    session = Session(pool, Options())
    push(session, speech([1, 0, 0]))
    pool.run()
    session.preview()
    pool.run()
    session.finish()
    pool.run()
    assert [event.text for event in await events_of(session)] == ["w1", ""]
    assert isinstance(pool.workers[0].sent[-1], Finish)
