"""Turnstiles: whose turn it is at something that only so many may have."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from gigastt.errors import CapacityTimeout, ShuttingDown
from gigastt.gateway.pool.turnstile import Patience, Slots
from tests.waiting import wait_until


@pytest.fixture
def slots() -> Slots:
    return Slots(3)


async def test_one_client_leaves_a_slot_to_others(slots: Slots) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(slots.hold("a", Patience(0)))
        with pytest.raises(CapacityTimeout) as caught:
            await stack.enter_async_context(slots.hold("a", Patience(0.01)))
        assert caught.value.retry_after_ms == 5_000
        await stack.enter_async_context(slots.hold("b", Patience(0)))
    assert (slots.active, slots.waiters) == (0, 0)


async def test_clients_take_turns_however_much_each_wants() -> None:
    slots = Slots(1)
    order: list[str] = []

    async def visit(name: str) -> None:
        async with slots.hold(name[0], Patience(10)):
            order.append(name)
            await asyncio.sleep(0)

    async with slots.hold("z", Patience(0)):
        visits = []
        for name in ("a1", "a2", "a3", "a4", "b1", "c1", "b2"):
            visits.append(asyncio.create_task(visit(name)))
            await wait_until(lambda: slots.waiters == len(visits))
    await asyncio.gather(*visits)
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


async def test_a_slot_is_passed_on_when_its_holder_is_cancelled_while_waiting(slots: Slots) -> None:
    async with AsyncExitStack() as stack:
        for client in "abc":
            await stack.enter_async_context(slots.hold(client, Patience(0)))
        waiting = asyncio.create_task(slots.hold("d", Patience(10)).__aenter__())
        await wait_until(lambda: slots.waiters)
        await stack.aclose()  # grants the slot, and before the waiter runs:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert (slots.active, slots.waiters) == (0, 0)


async def test_waiters_get_in_when_there_are_more_slots() -> None:
    slots = Slots(0)
    waiting = asyncio.create_task(slots.hold("a", Patience(10)).__aenter__())
    await wait_until(lambda: slots.waiters)
    slots.resize(1)
    await waiting
    assert (slots.active, slots.waiters) == (1, 0)


async def test_closing_sends_away_who_waits_and_who_comes(slots: Slots) -> None:
    async with AsyncExitStack() as stack:
        for client in "abc":
            await stack.enter_async_context(slots.hold(client, Patience(0)))
        waiting = asyncio.create_task(slots.hold("d", Patience(10)).__aenter__())
        await wait_until(lambda: slots.waiters)
        slots.close()
        with pytest.raises(ShuttingDown):
            await waiting
        with pytest.raises(ShuttingDown):
            await slots.hold("e", Patience(10)).__aenter__()
    assert slots.active == 0


async def test_patience_is_spent_over_all_queues() -> None:
    now = 0.0
    patience = Patience(30.0, lambda: now)
    async with patience.waiting() as left:
        assert left == 30
        now = 20.0
    now = 100.0  # what is done between two queues costs nothing
    async with patience.waiting() as left:
        assert left == 10
        now = 120.0
    async with patience.waiting() as left:
        assert left == 0
