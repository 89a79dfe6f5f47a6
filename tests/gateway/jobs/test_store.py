"""What is written is there again, whole, in another server; a broken disk is an answer."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gigastt.audio.selection import FileChoice
from gigastt.errors import JobsFull
from gigastt.gateway.jobs.job import JobCommit, JobFacts, JobOrder, Settled, transcript_of
from gigastt.gateway.jobs.store import JobStore
from gigastt.transcript import Alternative, Final, Gap, HeardTrack, Word

_ORDER = JobOrder("alice", FileChoice("rus", True), "", "http://a.example/hook", "secret")
_YES = (Word("Да.", 0.1, 0.5, 0.9),)
_SAID = (Alternative("Да.", _YES, 0.9), Alternative("", (), 0.1))
_FINAL = Final("Да.", _YES, 0.0, 0.6, 0.9, "silence", channel=1, speech=0.5, alternatives=_SAID)
_DROPPED = Final("", (), 0.7, 0.9, 0.0, "stop", drop="doubtful", dropped=(Word("ту", 0.7, 0.9, 0.1),))
_GAP = Gap("inference_error", 0.2, 0.3, 1)
_FACTS = JobFacts(1.5, (Gap("audio_missing", 1.0, 1.2),), HeardTrack(1, 2, "rus"), (None, None))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[JobStore]:
    store = JobStore(tmp_path)
    yield store
    store.close()


async def test_a_job_is_there_again_as_it_was(store: JobStore, tmp_path: Path) -> None:
    await store.add("one", _ORDER, 100)
    await store.set_facts("one", _FACTS)
    await store.settle("one", Settled([_FINAL, _GAP, _DROPPED], {1: JobCommit(9_600, b"\0state"), 0: JobCommit(5)}))
    await store.settle("one", Settled([], {0: JobCommit(7, b"", True)}))

    again = JobStore(tmp_path)
    job = await again.find("one")
    assert job is not None
    assert (job.order, job.facts, job.state, job.audio_bytes) == (_ORDER, _FACTS, "queued", 100)
    assert await again.commits("one") == {0: JobCommit(7, b"", True), 1: JobCommit(9_600, b"\0state")}
    told = await again.told("one")
    assert [one for _, one in told] == [_FINAL, _GAP, _DROPPED]
    assert await again.told("one", told[1][0]) == told[2:]
    heard = transcript_of(_FACTS, [one for _, one in told])
    assert (heard.finals, heard.dropped) == ([_FINAL], [_DROPPED])
    assert [gap.start for gap in heard.gaps] == [0.2, 1.0]
    again.close()


async def test_what_belongs_to_a_job_goes_with_it(store: JobStore) -> None:
    await store.add("one", _ORDER, 100)
    await store.settle("one", Settled([_FINAL], {0: JobCommit(5)}))
    await store.delete("one")
    assert await store.find("one") is None
    assert await store.told("one") == []
    with pytest.raises(JobsFull):  # a job that runs on knows at its next word
        await store.settle("one", Settled([_FINAL], {0: JobCommit(5)}))


async def test_ended_jobs_are_forgotten_in_time_and_others_are_not(store: JobStore) -> None:
    for id in ("done", "waits"):
        await store.add(id, _ORDER, 100)
    await store.end("done")
    await store.delete_ended(0.0)
    assert [job.id for job in await store.all()] == ["done", "waits"]
    await store.delete_ended(1e12)
    assert [job.id for job in await store.all()] == ["waits"]


async def test_a_write_that_fails_is_taken_back_as_a_whole(store: JobStore, tmp_path: Path) -> None:
    await store.add("one", _ORDER, 100)
    other = sqlite3.connect(tmp_path / "jobs.sqlite3")
    pages = other.execute("PRAGMA page_count").fetchone()[0]
    await store._change(f"PRAGMA max_page_count = {pages + 3}", ())  # as on a disk with room for three pages

    long = Final("слово " * 500, (), 0.0, 0.6, 0.9, "silence")
    for count in range(100):
        try:
            await store.settle("one", Settled([long], {0: JobCommit(count)}))
        except JobsFull:
            break
    assert len(await store.told("one")) == (await store.commits("one"))[0].samples + 1
    await store._change("PRAGMA max_page_count = 100000", ())
    await store.settle("one", Settled([long], {0: JobCommit(1_000)}))
    other.close()


async def test_calls_of_many_tasks_do_not_disturb_each_other(store: JobStore) -> None:
    await asyncio.gather(*(store.add(f"job{number}", _ORDER, number) for number in range(50)))
    assert sorted(job.audio_bytes for job in await store.queued()) == list(range(50))
