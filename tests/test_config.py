"""Tests of settings: defaults, and the checks that need more than one field."""

from __future__ import annotations

from pathlib import Path

import pytest

from gigastt.config import Settings, check_settings, default_pool_size, is_loopback, split_address
from gigastt.errors import ConfigError


def test_default_pool_size_is_between_one_and_four() -> None:
    assert 1 <= default_pool_size() <= 4


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "::1", "[::1]"])
def test_loopback_hosts(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.evil.example", "127.0.0.1.example", ""]
)
def test_other_hosts_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_defaults_are_accepted() -> None:
    check_settings(Settings())


def test_an_open_host_without_permission_is_refused() -> None:
    with pytest.raises(ConfigError, match="--bind-all"):
        check_settings(Settings(host="0.0.0.0"))
    check_settings(Settings(host="0.0.0.0", bind_all=True))


def test_a_missing_keys_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        check_settings(Settings(api_keys_file=tmp_path / "keys"))


@pytest.mark.parametrize(
    ("address", "parts"),
    [("127.0.0.1:9100", ("127.0.0.1", 9100)), ("[::1]:9100", ("::1", 9100)), ("localhost:0", ("localhost", 0))],
)
def test_an_address_is_split(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize(
    "address", ["", "9100", ":9100", "host:", "host:port", "host:99999", "host:²", "::1:9100", "[]:1"]
)
def test_what_is_not_an_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        split_address(address)


@pytest.mark.parametrize("address", ["0.0.0.0:9100", "[::]:9100", "metrics.example:9100"])
def test_metrics_for_the_network_without_permission_are_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="--bind-all"):
        check_settings(Settings(metrics_listen=address))
    check_settings(Settings(metrics_listen=address, bind_all=True))
    check_settings(Settings(metrics_listen="127.0.0.1:9100"))
