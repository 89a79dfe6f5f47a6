"""An own authority: what it makes is trusted, lasts, follows the machine's names, and stays where it is good."""

from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509

from gigastt.authority import LEAF_LIFE, Authority, Names, own_addresses, own_authority, sort_hosts
from gigastt.errors import ConfigError

NOW = datetime(2026, 6, 1, tzinfo=UTC)


class Machine:
    """A machine with a clock, names and addresses that change."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.names = sort_hosts(["asr", "asr.local", "192.168.1.5"], frozenset())
        self.authority = Authority(folder, lambda: self.names, lambda: self.now)

    def leaf(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.authority.server.read_bytes())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "tls")


def test_secrets_are_the_owners_alone_and_the_certificate_is_not(machine: Machine) -> None:
    assert machine.authority.ensure()
    folder = machine.authority.server.parent
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {"authority.pem": 0o600, "server.pem": 0o600, "ca.crt": 0o644}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert b"PRIVATE" not in machine.authority.certificate.read_bytes()


def test_what_is_good_stays(machine: Machine) -> None:
    machine.authority.ensure()
    before = {path: path.read_bytes() for path in machine.authority.server.parent.iterdir()}
    machine.now += LEAF_LIFE - timedelta(days=31)
    machine.names = Names(frozenset({"localhost"}), frozenset())  # fewer is no reason
    assert not machine.authority.ensure()
    assert {path: path.read_bytes() for path in machine.authority.server.parent.iterdir()} == before


def test_the_leaf_is_renewed_before_it_ends_under_the_same_authority(machine: Machine) -> None:
    machine.authority.ensure()
    fingerprint, first = machine.authority.fingerprint(), machine.leaf()
    machine.now += LEAF_LIFE - timedelta(days=29)
    assert machine.authority.ensure()
    assert machine.leaf().not_valid_after_utc == machine.now + LEAF_LIFE > first.not_valid_after_utc
    assert machine.authority.fingerprint() == fingerprint


def test_the_leaf_follows_a_new_address(machine: Machine) -> None:
    machine.authority.ensure()
    machine.names = sort_hosts(["asr"], frozenset({ip_address("10.0.0.9")}))
    assert machine.authority.ensure()
    assert "10.0.0.9" in machine.authority.names()
    assert not machine.authority.ensure()


def test_a_missing_or_strange_leaf_is_made_anew_and_a_missing_copy_too(machine: Machine, tmp_path: Path) -> None:
    machine.authority.ensure()
    other = Machine(tmp_path / "other")
    other.authority.ensure()
    machine.authority.server.write_bytes(other.authority.server.read_bytes())
    machine.authority.certificate.unlink()
    assert machine.authority.ensure()
    assert machine.authority.certificate.exists()
    assert machine.leaf().issuer == x509.load_pem_x509_certificate(machine.authority.certificate.read_bytes()).subject


@pytest.mark.parametrize("name", ["authority.pem", "server.pem"])
def test_a_damaged_file_is_named(machine: Machine, name: str) -> None:
    machine.authority.ensure()
    (machine.authority.server.parent / name).write_text("nothing")
    with pytest.raises(ConfigError, match=name):
        machine.authority.ensure()


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be kept here"):
        Machine(tmp_path / "file" / "tls").authority.ensure()


def test_hosts_are_sorted_into_names_and_addresses() -> None:
    names = sort_hosts(["*", "*.example", "Gigastt.", "0.0.0.0", "[::]", "[fd00::1]", "10.1.2.3"], frozenset())
    assert names.sorted() == ["gigastt", "localhost", "10.1.2.3", "127.0.0.1", "::1", "fd00::1"]


@pytest.mark.slow
async def test_a_client_that_trusts_the_authority_believes_this_machines_names(tmp_path: Path) -> None:
    authority = own_authority(tmp_path, ["asr.lan"])
    authority.ensure()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.server)
    trust = ssl.create_default_context(cafile=str(authority.certificate))
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with server:
        for name in ("asr.lan", "localhost", "127.0.0.1", socket.gethostname(), *map(str, own_addresses())):
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname=name)
            writer.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname="evil.example")
