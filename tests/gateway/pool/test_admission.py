"""Admission: places, those who wait for them, and what they are told."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from gigastt.errors import CapacityTimeout, ShuttingDown
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.admission import LEAST_RETRY_MS, MOST_RETRY_MS, SILENT_SECONDS, Admission, Guest
from tests.waiting import wait_until


@pytest.fixture
def admission() -> Admission:
    return Admission(Metrics())


def sample(metrics: Metrics, name: str) -> float | None:
    return metrics.registry.get_sample_value(f"gigastt_{name}")


async def test_places_are_taken_and_given_back(admission: Admission) -> None:
    admission.resize(2)
    async with admission.admit(1), admission.admit(1):
        assert (admission.available, admission.saturation) == (0, 1.0)
    assert (admission.available, admission.saturation) == (2, 0.0)


async def test_who_waited_longest_is_next(admission: Admission) -> None:
    admission.resize(1)
    order: list[int] = []

    async def visit(number: int) -> None:
        async with admission.admit(60):
            order.append(number)

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(admission.admit(1))
        visits = []
        for number in range(4):
            visits.append(asyncio.create_task(visit(number)))
            await wait_until(lambda number=number: admission.waiters == number + 1)  # type: ignore[misc]
    await asyncio.gather(*visits)
    assert order == [0, 1, 2, 3]


async def test_a_newcomer_does_not_overtake_those_who_wait(admission: Admission) -> None:
    admission.resize(1)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(admission.admit(1))
        waiting = asyncio.create_task(stack.enter_async_context(admission.admit(60)))
        await wait_until(lambda: admission.waiters)
        admission.resize(2)
        await waiting
        with pytest.raises(CapacityTimeout):
            await stack.enter_async_context(admission.admit(0.01))


async def test_timeout_says_when_to_come_back(admission: Admission) -> None:
    admission.resize(1)
    async with admission.admit(1):
        with pytest.raises(CapacityTimeout) as caught:
            await admission.admit(0.01).__aenter__()
    assert caught.value.retry_after_ms is not None
    assert LEAST_RETRY_MS <= caught.value.retry_after_ms <= MOST_RETRY_MS
    assert admission.waiters == 0


async def test_a_cancelled_waiter_keeps_no_place(admission: Admission) -> None:
    admission.resize(1)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(admission.admit(1))
        waiting = asyncio.create_task(stack.enter_async_context(admission.admit(60)))
        await wait_until(lambda: admission.waiters)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert admission.waiters == 0
    assert (admission.active, admission.available) == (0, 1)


async def test_a_waiter_cancelled_at_the_moment_of_its_grant_gives_the_place_back(admission: Admission) -> None:
    admission.resize(1)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(admission.admit(1))
        waiting = asyncio.create_task(admission.admit(60).__aenter__())
        await wait_until(lambda: admission.waiters)
        await stack.aclose()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert (admission.active, admission.available) == (0, 1)


async def test_nothing_fits_before_the_first_worker_and_waiters_get_in_with_it(admission: Admission) -> None:
    visiting = asyncio.create_task(admission.admit(60).__aenter__())
    await wait_until(lambda: admission.waiters)
    assert (admission.available, admission.saturation) == (0, 1.0)
    admission.resize(1)
    await asyncio.wait_for(visiting, 60)


async def test_sessions_that_run_outlive_a_smaller_pool(admission: Admission) -> None:
    admission.resize(2)
    async with admission.admit(1), admission.admit(1):
        admission.resize(1)
        assert (admission.active, admission.available, admission.saturation) == (2, 0, 1.0)


async def test_closing_sends_everybody_away(admission: Admission) -> None:
    admission.resize(0)
    waiting = asyncio.create_task(admission.admit(60).__aenter__())
    await wait_until(lambda: admission.waiters)
    admission.close()
    with pytest.raises(ShuttingDown):
        await waiting
    with pytest.raises(ShuttingDown):
        await admission.admit(1).__aenter__()


async def test_metrics_tell_places_waiters_and_timeouts() -> None:
    metrics = Metrics()
    admission = Admission(metrics)
    admission.resize(4)
    async with admission.admit(1):
        assert sample(metrics, "pool_available") == 3
        assert sample(metrics, "pool_saturation_ratio") == 0.25
    admission.resize(0)
    with pytest.raises(CapacityTimeout):
        await admission.admit(0.01).__aenter__()
    assert sample(metrics, "pool_timeouts_total") == 1
    assert sample(metrics, "pool_waiters") == 0
    assert sample(metrics, "pool_checkout_duration_seconds_count") == 1


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Sessions:
    """Sessions that leave when they are asked to, of an admission with a clock of its own."""

    def __init__(self, places: int) -> None:
        self.clock = Clock()
        self.admission = Admission(Metrics(), self.clock)
        self.admission.resize(places)
        self.left: list[str] = []

    async def enter(self, client: str, timeout: float = 60.0, *, busy: bool = False) -> tuple[Guest, AsyncExitStack]:
        stack = AsyncExitStack()

        def make_room() -> bool:
            if not busy:
                self.left.append(client)
                asyncio.get_running_loop().create_task(stack.aclose())
            return not busy

        guest = Guest(client, make_room, self.clock)
        await stack.enter_async_context(self.admission.admit(timeout, guest))
        return guest, stack


async def test_silent_sessions_make_room_for_a_client_that_holds_fewer() -> None:
    sessions = Sessions(4)
    await sessions.enter("quiet")
    for _ in range(3):
        await sessions.enter("many")
    sessions.clock.now += SILENT_SECONDS
    await sessions.enter("new")
    await sessions.enter("newer")
    assert sessions.left == ["many", "many"]
    assert sessions.admission.active == 4


async def test_nobody_makes_room_while_nobody_waits_or_for_a_client_with_as_many() -> None:
    sessions = Sessions(2)
    await sessions.enter("a")
    await sessions.enter("b")
    sessions.clock.now += SILENT_SECONDS
    with pytest.raises(CapacityTimeout):
        await sessions.enter("a", 0.6)
    assert sessions.left == []


async def test_sessions_that_send_audio_or_wait_with_it_stay() -> None:
    sessions = Sessions(3)
    speaking, _ = await sessions.enter("many")
    await sessions.enter("many", busy=True)
    dripping, _ = await sessions.enter("many")
    for _ in range(10):
        sessions.clock.now += SILENT_SECONDS / 10
        speaking.heard(SILENT_SECONDS / 10)
        dripping.heard(0.001)
    sessions.clock.now += 0.1
    await sessions.enter("new")
    assert sessions.left == ["many"]
    assert speaking.silent_seconds < 0.2
    assert dripping.silent_seconds > SILENT_SECONDS
    with pytest.raises(CapacityTimeout):
        await sessions.enter("newer", 0.6)


async def test_silence_counts_from_the_half_of_what_a_client_waits_at_most() -> None:
    sessions = Sessions(2)
    await sessions.enter("many")
    await sessions.enter("many")
    waiting = asyncio.create_task(sessions.enter("new", 4.0))
    await wait_until(lambda: sessions.admission.waiters)
    sessions.clock.now += 2.0
    await asyncio.wait_for(waiting, 60)
    assert sessions.left == ["many"]


async def test_a_place_goes_to_the_client_that_holds_the_fewest(admission: Admission) -> None:
    admission.resize(2)
    order: list[str] = []
    stacks = [AsyncExitStack(), AsyncExitStack()]
    for stack in stacks:
        await stack.enter_async_context(admission.admit(1, Guest("many")))

    async def visit(client: str) -> None:
        async with admission.admit(60, Guest(client)):
            order.append(client)

    visits = []
    for number, client in enumerate(("many", "many", "one", "other")):
        visits.append(asyncio.create_task(visit(client)))
        await wait_until(lambda number=number: admission.waiters == number + 1)  # type: ignore[misc]
    await stacks[0].aclose()
    await asyncio.gather(*visits)
    await stacks[1].aclose()
    assert order == ["one", "other", "many", "many"]
