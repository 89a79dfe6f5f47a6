"""A certificate authority of this machine's own: for servers on a network where no public one gives certificates.

    FOLDER/authority.pem   the authority's key and certificate; people's devices trust it, so nobody else may read it
    FOLDER/ca.crt          its certificate alone, which they are given
    FOLDER/server.pem      the server's key and certificate: the machine's names and addresses, for 90 days

Each file is replaced in one step. Blocking file access, from whichever thread calls. The libraries are those of the
extra `tls`, and are imported only where a certificate is made or looked into.
"""

from __future__ import annotations

import hashlib
import ipaddress
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gigastt.errors import ConfigError
from gigastt.gateway.access.addresses import Address
from gigastt.gateway.access.browsers import own_names
from gigastt.models.disk import replacing

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

AUTHORITY_LIFE: Final = timedelta(days=20 * 365)
LEAF_LIFE: Final = timedelta(days=90)  # Apple's devices take no more than 825
RENEW_BEFORE: Final = timedelta(days=30)
_SLOW_CLOCKS: Final = timedelta(days=1)  # of devices that are to believe it already


@dataclass(frozen=True, slots=True)
class Names:
    """The names and addresses by which a server is reached."""

    hosts: frozenset[str]
    addresses: frozenset[Address]

    def sorted(self) -> list[str]:
        """All of them as text, names first."""
        return [
            *sorted(self.hosts),
            *map(str, sorted(self.addresses, key=lambda address: (address.version, int(address)))),
        ]


def own_addresses() -> frozenset[Address]:
    """Return the addresses of this machine's interfaces but link-local ones. ConfigError: the extra is missing."""
    try:
        import ifaddr
    except ImportError as exc:
        raise _extra_is_missing() from exc
    texts = [ip.ip if isinstance(ip.ip, str) else ip.ip[0] for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    addresses = map(ipaddress.ip_address, texts)
    return frozenset(address for address in addresses if not address.is_link_local)


def own_authority(folder: Path, hosts: Sequence[str]) -> Authority:
    """Return the authority in a folder, for this machine's names and addresses and `hosts`."""
    return Authority(folder, lambda: sort_hosts([*own_names(), *hosts], own_addresses()))


def sort_hosts(hosts: Sequence[str], addresses: frozenset[Address]) -> Names:
    """Return the names in which `hosts`, some of them perhaps addresses, are sorted out; `*` is no name."""
    named: set[str] = {"localhost"}
    reached = {ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"), *addresses}
    for host in hosts:
        try:
            address = ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            if "*" not in host and host.isascii() and len(host) <= 253:
                named.add(host.lower().rstrip("."))
        else:
            if not address.is_unspecified:
                reached.add(address)
    return Names(frozenset(named), frozenset(reached))


class Authority:
    """The authority in a folder, and the server's certificate there.

    Args:
        find_names: returns the names that the server is reached by now.
        clock: the time now.
    """

    def __init__(
        self, folder: Path, find_names: Callable[[], Names], clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._own = folder / "authority.pem"
        self.certificate = folder / "ca.crt"
        self.server = folder / "server.pem"
        self._find_names = find_names
        self._clock = clock

    def ensure(self) -> bool:
        """Make what is missing, and the server's certificate anew where it ends soon or lacks a name.

        Returns:
            Whether the server's certificate is a new one.

        Raises:
            ConfigError: the folder cannot be read or written, a file in it is wrong, or the extra is missing.
        """
        try:
            import cryptography  # noqa: F401
        except ImportError as exc:
            raise _extra_is_missing() from exc
        folder = self._own.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            key, certificate = self._load_authority()
            if not self._is_good(certificate):
                self._make_leaf(key, certificate)
                return True
        except OSError as exc:
            raise ConfigError(f"{folder}: certificates cannot be kept here: {exc.strerror or exc}.") from exc
        return False

    def names(self) -> list[str]:
        """Return the names in the server's certificate."""
        return _names_in(_read_certificate(self.server)).sorted()

    def fingerprint(self) -> str:
        """Return the SHA-256 of the authority's certificate, as devices show it."""
        content = ssl.PEM_cert_to_DER_cert(self.certificate.read_text("ascii"))
        return hashlib.sha256(content).digest().hex(":").upper()

    def _load_authority(self) -> tuple[EllipticCurvePrivateKey, x509.Certificate]:
        from cryptography.hazmat.primitives.serialization import Encoding

        if not self._own.exists():
            self._make_authority()
        key, certificate = _read_key(self._own), _read_certificate(self._own)
        published = certificate.public_bytes(Encoding.PEM)
        if not self.certificate.exists() or self.certificate.read_bytes() != published:
            with replacing(self.certificate) as temporary:
                temporary.write_bytes(published)
        return key, certificate

    def _is_good(self, authority: x509.Certificate) -> bool:
        """Tell whether the server's certificate is this authority's, lasts, and has every name."""
        if not self.server.exists():
            return False
        leaf, wanted = _read_certificate(self.server), self._find_names()
        found = _names_in(leaf)
        return (
            leaf.issuer == authority.subject
            and leaf.not_valid_after_utc - self._clock() > RENEW_BEFORE
            and wanted.hosts <= found.hosts
            and wanted.addresses <= found.addresses
        )

    def _make_authority(self) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        key, now = ec.generate_private_key(ec.SECP256R1()), self._clock()
        serial = x509.random_serial_number()  # in the name, so that devices tell two authorities of one machine apart
        name = _name(f"gigastt {self._machine()} {serial % 0x10000:04x}")
        builder = _begin(name, name, key, now, AUTHORITY_LIFE, serial)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
        self._write(self._own, key, builder.sign(key, hashes.SHA256()))

    def _make_leaf(self, key: EllipticCurvePrivateKey, authority: x509.Certificate) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID

        own, names = ec.generate_private_key(ec.SECP256R1()), self._find_names()
        alternatives = [
            *map(x509.DNSName, sorted(names.hosts)),
            *(x509.IPAddress(address) for address in sorted(names.addresses, key=str)),
        ]
        serial = x509.random_serial_number()
        builder = _begin(_name(self._machine()), authority.subject, own, self._clock(), LEAF_LIFE, serial)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
        self._write(self.server, own, builder.sign(key, hashes.SHA256()))

    def _machine(self) -> str:
        """Return the shortest name that is not every machine's."""
        names = sorted(self._find_names().hosts - {"localhost"}, key=lambda name: (len(name), name))
        return names[0][:40] if names else "localhost"

    @staticmethod
    def _write(path: Path, key: EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with replacing(path, 0o600) as temporary:
            temporary.write_bytes(secret + certificate.public_bytes(Encoding.PEM))


def _begin(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, now: datetime, life: timedelta, serial: int
) -> x509.CertificateBuilder:
    from cryptography import x509

    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(serial).not_valid_before(now - _SLOW_CLOCKS).not_valid_after(now + life)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _name(common: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _names_in(certificate: x509.Certificate) -> Names:
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return Names(frozenset(), frozenset())
    addresses = {ipaddress.ip_address(str(address)) for address in found.get_values_for_type(x509.IPAddress)}
    return Names(frozenset(found.get_values_for_type(x509.DNSName)), frozenset(addresses))


def _read_certificate(path: Path) -> x509.Certificate:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as exc:
        raise ConfigError(f"{path}: expected a certificate in PEM. Remove the file, and it is made anew.") from exc


def _read_key(path: Path) -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as exc:
        raise ConfigError(f"{path}: expected a private key in PEM.") from exc
    if not isinstance(key, EllipticCurvePrivateKey):
        raise ConfigError(f"{path}: expected a private key on an elliptic curve.")
    return key


def _extra_is_missing() -> ConfigError:
    return ConfigError("Certificates need the extra `tls`: pip install 'gigastt-server[tls]'.")
