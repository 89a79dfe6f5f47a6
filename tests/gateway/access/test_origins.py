"""The table of origins: who is let in, who only looks like it."""

from __future__ import annotations

import pytest

from gigastt.gateway.access.browsers import OriginPolicy

LOOPBACK = [
    "http://localhost",
    "https://localhost",
    "http://localhost:3000",
    "HTTP://LOCALHOST:3000",
    "http://127.0.0.1",
    "http://127.0.0.1:9876",
    "https://[::1]",
    "http://[::1]:8080",
    "http://localhost/",
    "http://localhost/page",
]
STRANGERS = [
    "http://localhost.evil.example",
    "http://localhostevil.example",
    "http://127.0.0.1.evil.example",
    "http://localhost@evil.example",
    "http://localhost:80@evil.example",
    "http://evil.example@localhost.evil.example",
    "http://user:localhost@evil.example",
    "http://evil.example",
    "https://evil.example/http://localhost",
    "http://[::1].evil.example",
    "http://[::1]evil.example",
    "http://127.0.0.2",
    "http://0.0.0.0",
    "http://localhost:80.evil.example",
    "http://localhost:٨٠",
    "http://localhost\\@evil.example",
    "http://localhost#.evil.example",
    "http://localhost?.evil.example",
    "ftp://localhost",
    "file://localhost",
    "localhost",
    "",
]


def policy(*allowed: str, allow_any: bool = False) -> OriginPolicy:
    return OriginPolicy(allowed, allow_any=allow_any)


def test_no_origin_is_allowed() -> None:
    assert policy().allows([])


@pytest.mark.parametrize("origin", LOOPBACK)
def test_loopback_origins_are_allowed(origin: str) -> None:
    assert policy().allows([origin])


@pytest.mark.parametrize("origin", STRANGERS)
def test_strangers_and_look_alikes_are_refused(origin: str) -> None:
    assert not policy("https://app.example").allows([origin])


def test_null_is_allowed_only_where_it_is_listed() -> None:
    assert not policy().allows(["null"])
    assert not policy().allows(["NULL"])
    assert policy("null").allows(["null"])


def test_listed_origins_are_exact() -> None:
    listed = policy("https://app.example")
    assert listed.allows(["https://app.example"])
    assert listed.allows(["https://APP.example"])
    assert not listed.allows(["http://app.example"])
    assert not listed.allows(["https://app.example:8443"])
    assert not listed.allows(["https://app.example.evil.example"])
    assert not listed.allows(["https://sub.app.example"])


def test_any_origin_can_be_allowed() -> None:
    assert policy(allow_any=True).allows(["https://anything.example"])
    assert policy(allow_any=True).allows(["null"])


def test_two_origins_in_one_request_are_refused() -> None:
    assert not policy(allow_any=True).allows(["http://localhost", "https://evil.example"])
