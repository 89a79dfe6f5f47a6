"""TLS of a listener: one context for its life, into which a renewed certificate is loaded while connections go on."""

from __future__ import annotations

import ssl
from pathlib import Path

from gigastt.errors import ConfigError


class Certificate:
    """The certificate of `--tls-cert`, with its chain, and the key of `--tls-key`.

    Attributes:
        context: for handshakes; TLS 1.2 and 1.3, HTTP/1.1.
    """

    def __init__(self, chain: Path, key: Path) -> None:
        """Load both.

        Raises:
            ConfigError: one of the files is wrong.
        """
        self._chain = chain
        self._key = key
        self.context = _new_context()
        self.reload()

    def reload(self) -> None:
        """Read the files again, for handshakes to come.

        Raises:
            ConfigError: one of the files is wrong; nothing has changed.
        """
        self._load_into(_new_context())  # a load that fails half-way leaves its context without a key
        self._load_into(self.context)

    def _load_into(self, context: ssl.SSLContext) -> None:
        for flag, path in (("--tls-cert", self._chain), ("--tls-key", self._key)):
            try:
                path.open("rb").close()
            except OSError as exc:
                raise ConfigError(f"{flag} {path}: cannot be read: {exc.strerror}.") from exc
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(self._chain)
        except (OSError, ValueError) as exc:
            raise ConfigError(f"--tls-cert {self._chain}: expected certificates in PEM, the server's first.") from exc
        try:
            context.load_cert_chain(self._chain, self._key, password=lambda: "")  # else it would ask the terminal
        except (OSError, ValueError) as exc:
            raise ConfigError(
                f"--tls-key {self._key}: expected the private key of --tls-cert, in PEM and without a password."
            ) from exc


def _new_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
