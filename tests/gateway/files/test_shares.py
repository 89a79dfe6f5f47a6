"""Shares: what one client may have of what all use, and whose turn it is."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from gigastt.errors import CapacityTimeout, ShuttingDown
from gigastt.gateway.files.shares import Patience, Room, Slots
from tests.waiting import wait_until


@pytest.fixture
def room() -> Room:
    return Room(lambda: 160, "memory")


def test_a_client_has_its_share_and_no_more(room: Room) -> None:
    room.hold("a").change_to(100)
    other = room.hold("a")
    with pytest.raises(CapacityTimeout, match="Your uploads hold all the memory"):
        other.change_to(61)
    other.change_to(60)
    assert room.used == 160


def test_two_clients_with_all_they_may_leave_room_for_small_ones(room: Room) -> None:
    for client in "ab":
        room.hold(client).change_to(160)
    with pytest.raises(CapacityTimeout, match=r"^Uploads hold all the memory"):
        room.hold("c").change_to(11)
    for client in "cdefghij":
        room.hold(client).change_to(10)
    with pytest.raises(CapacityTimeout):
        room.hold("k").change_to(1)
    assert room.used == 400


def test_what_is_released_is_free_and_nothing_is_kept_of_the_client(room: Room) -> None:
    holding = room.hold("a")
    holding.change_to(160)
    holding.change_to(60)
    room.hold("a").change_to(100)
    holding.release()
    holding.release()
    assert (room.used, room.clients) == (100, 1)


def test_a_refused_change_changes_nothing(room: Room) -> None:
    holding = room.hold("a")
    holding.change_to(100)
    with pytest.raises(CapacityTimeout):
        holding.change_to(161)
    assert (holding.count, room.used) == (100, 100)
    room.hold("b").release()
    assert room.clients == 1


@pytest.fixture
def slots() -> Slots:
    return Slots(lambda: 3, lambda: 2)


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
    slots = Slots(lambda: 1, lambda: 1)
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


async def test_there_is_always_one_slot() -> None:
    async with Slots(lambda: 0, lambda: 0).hold("a", Patience(0)):
        pass


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
    assert patience.left == 0
