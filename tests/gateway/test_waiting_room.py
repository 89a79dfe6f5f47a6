"""The waiting room: sessions that are over can be found for a while, and not without number."""

from __future__ import annotations

from gigastt.gateway.waiting_room import MOST_OVER, WaitingRoom
from tests.waiting import wait_until


async def test_a_session_that_is_over_is_found_for_a_while() -> None:
    room = WaitingRoom[str](lambda: 0.05)
    for id in ("over", "cut off"):
        room.enter(id, id)
    room.leave("over", at_once=False)
    room.leave("cut off", at_once=True)
    assert (room.find("over"), room.find("cut off")) == ("over", None)
    await wait_until(lambda: room.find("over") is None)


async def test_of_very_many_that_are_over_the_last_are_found_and_all_that_run() -> None:
    room = WaitingRoom[int](lambda: 60.0)
    room.enter("runs", -1)
    for number in range(MOST_OVER + 3):
        room.enter(str(number), number)
        room.leave(str(number), at_once=False)
    assert [room.find(id) for id in ("2", "3", str(MOST_OVER + 2), "runs")] == [None, 3, MOST_OVER + 2, -1]
