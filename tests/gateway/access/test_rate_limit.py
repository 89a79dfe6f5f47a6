"""The token bucket, its bounded store, and whose bucket a request takes from."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.gateway.access.addresses import client_address, parse_address, parse_networks, rate_key
from gigastt.gateway.rate import GENERATION, Rate, RateLimiter


def test_a_burst_passes_then_one_at_a_time() -> None:
    limiter = RateLimiter(Rate(per_minute=60, burst=3))
    assert [limiter.take(1, 100.0) for _ in range(3)] == [0, 0, 0]
    assert limiter.take(1, 100.0) == pytest.approx(1.0)
    assert limiter.take(1, 100.4) == pytest.approx(0.6)
    assert limiter.take(1, 101.0) == 0
    assert limiter.take(1, 101.0) == pytest.approx(1.0)
    assert limiter.take(2, 101.0) == 0


def test_refused_requests_cost_nothing() -> None:
    limiter = RateLimiter(Rate(60, 1))
    assert limiter.take(1, 0.0) == 0
    for step in range(1, 10):
        assert limiter.take(1, step / 10) > 0
    assert limiter.take(1, 1.0) == 0


def test_zero_a_minute_is_off() -> None:
    limiter = RateLimiter(Rate(0, 10))
    assert all(limiter.take(1, 0.0) == 0 for _ in range(1000))
    assert len(limiter) == 0


@given(
    st.lists(st.floats(0.0, 2.0), min_size=1, max_size=200),
    st.integers(1, 600),
    st.integers(1, 20),
)
def test_no_client_gets_more_than_its_rate_and_burst(gaps: list[float], per_minute: int, burst: int) -> None:
    limiter = RateLimiter(Rate(per_minute, burst), generation=4)
    now, passed = 0.0, 0
    for gap in gaps:
        now += gap
        passed += limiter.take(7, now) == 0
    assert passed <= burst + now * per_minute / 60 + 1e-6


@given(st.lists(st.floats(0.0, 5.0), max_size=100), st.integers(1, 300), st.integers(1, 10))
def test_waiting_as_long_as_told_is_enough(gaps: list[float], per_minute: int, burst: int) -> None:
    limiter = RateLimiter(Rate(per_minute, burst))
    now = 0.0
    for gap in gaps:
        now += gap
        wait = limiter.take(1, now)
        if wait:
            now += wait + 1e-6
            assert limiter.take(1, now) == 0


def test_a_hammering_client_keeps_its_bucket_while_others_pass_by() -> None:
    limiter = RateLimiter(Rate(1, 1), generation=100)
    assert limiter.take(-1, 0.0) == 0
    for stranger in range(10_000):
        limiter.take(stranger, 0.001 * stranger)
        if stranger % 50 == 0:
            assert limiter.take(-1, 0.001 * stranger) > 0
    assert len(limiter) <= 201


def test_full_buckets_are_forgotten_with_time() -> None:
    limiter = RateLimiter(Rate(60, 2))
    for client in range(1000):
        limiter.take(client, 0.0)
    limiter.take(-1, 10.0)
    limiter.take(-1, 20.0)
    assert len(limiter) <= 2


def test_any_number_of_addresses_fits_in_30_megabytes() -> None:
    # A tenth of the size, in a tenth of the memory; after four generations everything that is ever dropped has been.
    generation = GENERATION // 10
    limiter = RateLimiter(Rate(1, 10), generation)
    held = 0
    tracemalloc.start()
    try:
        for address in range(1 << 40, (1 << 40) + 4 * generation):
            limiter.take(address, 0.0)
            held = max(held, len(limiter))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held == 2 * generation
    assert peak <= 3_000_000


def test_another_rate_applies_at_once() -> None:
    limiter = RateLimiter(Rate(60, 1))
    limiter.take(1, 0.0)
    limiter.change(Rate(600, 1))
    assert limiter.take(1, 0.0) == 0
    assert limiter.take(1, 0.0) == pytest.approx(0.1)


TRUSTED = parse_networks(["10.0.0.0/8", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.5", [], "203.0.113.5"),
        ("203.0.113.5", ["1.2.3.4"], "203.0.113.5"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6", "198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.7, 10.9.9.9"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", ["6.6.6.6, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["6.6.6.6, "], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
        ("::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("fd00::1", ["198.51.100.7"], "198.51.100.7"),
        (None, ["198.51.100.7"], "0.0.0.0"),
    ],
)
def test_only_the_nearest_untrusted_hop_counts(peer: str | None, forwarded: list[str], client: str) -> None:
    assert str(client_address(peer, forwarded, TRUSTED)) == client


def test_nobody_is_trusted_by_default() -> None:
    assert str(client_address("127.0.0.1", ["1.2.3.4"], ())) == "127.0.0.1"


def test_a_long_chain_of_hops_is_read_from_the_right_and_bounded() -> None:
    chain = ", ".join(["6.6.6.6"] * 100_000 + ["10.0.0.2"] * 40)
    assert str(client_address("10.0.0.1", [chain], TRUSTED)) == "10.0.0.2"


def key(address: str) -> int:
    parsed = parse_address(address)
    assert parsed is not None
    return rate_key(parsed)


def test_ipv6_is_counted_by_its_64() -> None:
    assert key("2001:db8:0:1::1") == key("2001:db8:0:1:ffff::2")
    assert key("2001:db8:0:1::1") != key("2001:db8:0:2::1")
    assert key("::ffff:192.0.2.1") == key("192.0.2.1")
    assert key("192.0.2.1") != key("192.0.2.2")
    assert key("fe80::1%eth0") == key("fe80::2")


@given(st.ip_addresses(v=4), st.ip_addresses(v=6))
def test_no_ipv6_network_shares_a_bucket_with_an_ipv4_address(four: object, six: object) -> None:
    if not str(six).startswith("::ffff:"):
        assert key(str(four)) != key(str(six))
