"""Caps on connections: who is counted where, and that nothing stays counted."""

from __future__ import annotations

import contextlib
import resource
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.errors import RateLimited
from gigastt.gateway.access.addresses import parse_address, parse_networks, rate_key
from gigastt.gateway.server.caps import MOST_REFUSED, Caps, Connections, Place, most_connections


def key(address: str) -> int:
    parsed = parse_address(address)
    assert parsed is not None
    return rate_key(parsed)


def refusal(place: Place | None) -> tuple[int, str]:
    assert place is not None
    assert place.refusal is not None
    error = place.refusal()
    return error.status, error.code


def served(place: Place | None) -> bool:
    return place is not None and place.refusal is None


def test_one_address_gets_so_many_and_the_next_when_one_has_left() -> None:
    connections = Connections(Caps(per_address=2))
    first, second = connections.enter("192.0.2.1"), connections.enter("::ffff:192.0.2.1")
    assert served(first)
    assert served(second)
    assert refusal(connections.enter("192.0.2.1")) == (429, "rate_limited")
    assert served(connections.enter("192.0.2.2"))
    assert first is not None
    first.leave()
    assert served(connections.enter("192.0.2.1"))


def test_ipv6_is_counted_by_its_64() -> None:
    connections = Connections(Caps(per_address=1))
    assert served(connections.enter("2001:db8:0:1::1"))
    assert not served(connections.enter("2001:db8:0:1:ffff::2"))
    assert served(connections.enter("2001:db8:0:2::1"))


def test_zero_is_any_number() -> None:
    connections = Connections()
    assert all(served(connections.enter("192.0.2.1")) for _ in range(1000))
    assert len(connections) == 1000


def test_the_total_counts_everybody() -> None:
    connections = Connections(Caps(total=2), parse_networks(["10.0.0.0/8"]))
    assert served(connections.enter("192.0.2.1"))
    assert served(connections.enter("10.0.0.1"))
    assert refusal(connections.enter("192.0.2.2")) == (503, "timeout")
    assert refusal(connections.enter("10.0.0.1")) == (503, "timeout")


def test_only_a_few_are_told_why() -> None:
    connections = Connections(Caps(per_address=1))
    assert served(connections.enter("192.0.2.1"))
    refused = [connections.enter("192.0.2.1") for _ in range(MOST_REFUSED)]
    assert all(place is not None and place.refusal is not None for place in refused)
    assert connections.enter("192.0.2.1") is None
    assert served(connections.enter("192.0.2.2"))
    for place in refused:
        assert place is not None
        place.leave()
    assert refusal(connections.enter("192.0.2.1")) == (429, "rate_limited")


def test_a_trusted_proxy_has_any_number_and_its_clients_have_theirs() -> None:
    connections = Connections(Caps(per_address=1), parse_networks(["10.0.0.0/8"]))
    proxied = [connections.enter("10.0.0.1") for _ in range(10)]
    assert all(place is not None and place.shared and place.refusal is None for place in proxied)
    with connections.carrying(key("192.0.2.1")), connections.carrying(key("192.0.2.2")):
        with pytest.raises(RateLimited), connections.carrying(key("192.0.2.1")):
            pass
        assert connections.addresses == 2
    assert connections.addresses == 0


def test_other_caps_apply_at_once_and_close_nothing() -> None:
    connections = Connections()
    for _ in range(3):
        assert served(connections.enter("192.0.2.1"))
    connections.change(Caps(per_address=3))
    assert not served(connections.enter("192.0.2.1"))
    connections.change(Caps(per_address=4))
    assert served(connections.enter("192.0.2.1"))


class Crash(Exception):
    """What a request or a session ends with when it fails."""


PEERS = ("192.0.2.1", "192.0.2.2", "2001:db8:0:1::1", "2001:db8:0:1::2", "10.0.0.1", None)
ENTER = st.tuples(st.just("enter"), st.sampled_from(PEERS))
LEAVE = st.tuples(st.just("leave"), st.integers(0, 200))
CARRY = st.tuples(st.just("carry"), st.sampled_from(PEERS[:4]))
END = st.tuples(st.just("end"), st.integers(0, 200))
CHANGE = st.tuples(st.just("change"), st.tuples(st.integers(0, 4), st.integers(0, 8)))


@given(st.lists(st.one_of(ENTER, ENTER, LEAVE, CARRY, END, CHANGE), max_size=200))
def test_any_order_of_events_ends_at_zero(events: list[tuple[str, object]]) -> None:
    caps = Caps(2, 6)
    connections = Connections(caps, parse_networks(["10.0.0.0/8"]))
    places: list[Place] = []
    seats = 0
    carried: list[ExitStack] = []
    for event, argument in events:
        if event == "enter":
            assert argument is None or isinstance(argument, str)
            place = connections.enter(argument)
            if place is not None:
                places.append(place)
            if served(place):
                seats += 1
                assert caps.total == 0 or seats <= caps.total
        elif event == "leave" and places:
            assert isinstance(argument, int)
            place = places.pop(argument % len(places))
            seats -= place.refusal is None
            place.leave()
            place.leave()  # a connection may hear of its end twice
        elif event == "carry":
            stack = ExitStack()
            with contextlib.suppress(RateLimited):
                stack.enter_context(connections.carrying(key(str(argument))))
                carried.append(stack)
        elif event == "end" and carried:
            assert isinstance(argument, int)
            with contextlib.suppress(Crash), carried.pop(argument % len(carried)):
                raise Crash
        elif event == "change":
            assert isinstance(argument, tuple)
            caps = Caps(*argument)
            connections.change(caps)
        assert len(connections) == len(places)
        assert connections.addresses <= seats + len(carried)
    for place in places:
        place.leave()
    for stack in carried:
        stack.close()
    assert (len(connections), connections.addresses) == (0, 0)


def test_the_total_leaves_descriptors_to_the_server_itself() -> None:
    assert most_connections(16_384, descriptors=1_048_576) == 16_384
    assert most_connections(16_384, descriptors=1024) == 704
    assert most_connections(100, descriptors=1024) == 100
    assert most_connections(100, descriptors=resource.RLIM_INFINITY) == 100
