"""Certificates that tests make for this machine's own addresses."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.shared import require_program


@dataclass(frozen=True)
class Pair:
    """A certificate that signs itself, and its key."""

    chain: Path
    key: Path

    def trust(self) -> ssl.SSLContext:
        """Return the context of a client that trusts nobody else."""
        return ssl.create_default_context(cafile=str(self.chain))


def make_certificate(folder: Path, name: str = "server") -> Pair:
    """Make a certificate for 127.0.0.1; one that was there under the same name is replaced."""
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    how = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    what = ("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost")
    files = ("-keyout", str(pair.key), "-out", str(pair.chain))
    subprocess.run([require_program("openssl"), "req", *how, *what, *files], check=True, capture_output=True)
    return pair
