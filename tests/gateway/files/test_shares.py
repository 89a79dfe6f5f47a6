"""Shares: how much one client may hold of what all use."""

from __future__ import annotations

import pytest

from gigastt.errors import CapacityTimeout
from gigastt.gateway.files.shares import Room


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
