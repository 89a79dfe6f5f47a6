"""Duties of the server: one that ends before the server does ends it, and says why."""

from __future__ import annotations

import asyncio

import pytest

from gigastt.duties import Duties
from gigastt.errors import DutyFailed, GigasttError, WorkerBootFailed
from gigastt.log import fields_of


async def for_ever() -> None:
    await asyncio.Event().wait()


async def fail(exc: Exception) -> None:
    raise exc


async def nothing() -> None:
    pass


async def failure_beside(work: asyncio.Task[None] | None, duties: Duties, stopped: asyncio.Event) -> Exception | None:
    async with asyncio.timeout(5), duties:
        await stopped.wait()
    assert work is None or work.done()
    return duties.failure


async def test_a_duty_that_fails_stops_the_server_with_the_traceback_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stopped = asyncio.Event()
    duties = Duties(on_failure=stopped.set)
    other = duties.start("other", for_ever())
    duties.start("watch", fail(RuntimeError("broken")))
    failure = await failure_beside(other, duties, stopped)
    assert isinstance(failure, DutyFailed)
    assert failure.exit_code == 1
    assert "watch" in str(failure)
    [record] = [record for record in caplog.records if fields_of(record).get("event") == "duty_failed"]
    assert fields_of(record)["duty"] == "watch"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], RuntimeError)


async def test_a_duty_that_ends_early_stops_the_server() -> None:
    stopped = asyncio.Event()
    duties = Duties(on_failure=stopped.set)
    duties.start("watch", nothing())
    failure = await failure_beside(None, duties, stopped)
    assert isinstance(failure, DutyFailed)
    assert "watch" in str(failure)


async def test_what_has_words_for_people_is_passed_on_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    stopped = asyncio.Event()
    duties = Duties(on_failure=stopped.set)
    expected: GigasttError = WorkerBootFailed("They do not start.")
    duties.start("workers", fail(expected))
    assert await failure_beside(None, duties, stopped) is expected
    assert not [record for record in caplog.records if record.exc_info]


async def test_the_first_failure_is_the_one_that_is_told() -> None:
    stopped = asyncio.Event()
    duties = Duties(on_failure=stopped.set)
    first = WorkerBootFailed("first")
    tasks = [duties.start("one", fail(first)), duties.start("two", fail(RuntimeError("second")))]
    await asyncio.wait(tasks)
    assert await failure_beside(None, duties, stopped) is first


async def test_a_server_that_has_ended_lets_its_duties_end() -> None:
    stopped = asyncio.Event()
    duties = Duties(on_failure=stopped.set)
    async with asyncio.timeout(5), duties:
        running = duties.start("watch", for_ever())
        duties.release()
        await asyncio.wait({duties.start("metrics", nothing())})
    assert duties.failure is None
    assert not stopped.is_set()
    assert running.cancelled()
