"""Which names the server answers to, on a loopback bind and on any other."""

from __future__ import annotations

import pytest

from gigastt.gateway.access.browsers import HostPolicy, own_names

LOOPBACK_NAMES = ["localhost", "localhost:9876", "LOCALHOST", "127.0.0.1:9876", "127.0.0.53", "[::1]", "[::1]:9876"]
NEVER = [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "localhost@evil.example",
    "localhost:80@evil.example",
    "evil.example/localhost",
    "localhost evil.example",
    "localhost:port",
    "2130706433",
    "0x7f000001",
    "127.1",
    "[::1",
    "",
]


def loopback(*allowed: str) -> HostPolicy:
    return HostPolicy(allowed, loopback_bind=True, names=["box", "box.local"])


def public(*allowed: str) -> HostPolicy:
    return HostPolicy(allowed, loopback_bind=False, names=["box", "box.local"])


@pytest.mark.parametrize("host", LOOPBACK_NAMES)
def test_loopback_names_are_answered_on_any_bind(host: str) -> None:
    assert loopback().allows([host])
    assert public().allows([host])


@pytest.mark.parametrize("host", NEVER)
def test_other_names_are_refused_on_any_bind(host: str) -> None:
    assert not loopback().allows([host])
    assert not public().allows([host])


@pytest.mark.parametrize("host", ["192.168.1.7:9876", "10.0.0.1", "[fe80::1]:9876", "box", "BOX:9876", "box.local"])
def test_own_names_and_addresses_are_answered_unless_the_bind_is_loopback(host: str) -> None:
    assert public().allows([host])
    assert not loopback().allows([host])


@pytest.mark.parametrize(
    "host",
    [
        "gigastt:9876",
        "speech_to_text",
        "gigastt.speech.svc:9876",
        "g.default.svc.cluster.local",
        "a.internal",
        "b.home.arpa.",
    ],
)
def test_names_that_only_a_private_network_has_are_answered_unless_the_bind_is_loopback(host: str) -> None:
    assert public().allows([host])
    assert not loopback().allows([host])


@pytest.mark.parametrize("host", ["evil.example", "svc.evil.example", "local", "8", "0x7f000001", "svc.", ".svc"])
def test_private_names_end_in_a_private_zone(host: str) -> None:
    assert public().allows([host]) == (host in ("local", "svc."))


@pytest.mark.parametrize("policy", [loopback("*"), public("*")])
def test_a_star_allows_every_name_but_no_nonsense(policy: HostPolicy) -> None:
    assert policy.allows(["evil.example:80"])
    assert not policy.allows(["evil.example/x"])
    assert not policy.allows([])


def test_listed_names_are_answered_on_any_bind() -> None:
    for policy in (loopback("speech.example"), public("Speech.Example.")):
        assert policy.allows(["speech.example"])
        assert policy.allows(["SPEECH.example:443"])
        assert policy.allows(["speech.example."])
        assert not policy.allows(["a.speech.example"])


def test_exactly_one_host_is_expected() -> None:
    assert not loopback().allows([])
    assert not loopback().allows(["localhost", "localhost"])


def test_own_names_are_bare_and_not_empty() -> None:
    names = own_names()
    assert names
    assert "" not in names
    assert all(name == name.lower() for name in names)
