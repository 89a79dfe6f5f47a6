"""Tokens: bytes that the server gives away and recognises when they come back.

Signed with HMAC-SHA256, not encrypted: their holders can read them, and nobody can make or change one. Each has a
purpose, so that a token of one kind is never taken for another. Servers with the same secret recognise each other's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from pathlib import Path

from gigastt.errors import ConfigError

LEAST_SECRET_BYTES = 16
_SIGNATURE_BYTES = 16


class Tokens:
    """Signs and recognises.

    Args:
        secret: shared by all servers that are to recognise each other's tokens; None makes one for this process.
    """

    def __init__(self, secret: bytes | None = None) -> None:
        self._secret = secret or secrets.token_bytes(32)

    @classmethod
    def load(cls, path: Path) -> Tokens:
        """Read the secret from a file, all of whose bytes count but white space at its ends.

        Raises:
            ConfigError: it cannot be read, or is too short to be a secret.
        """
        try:
            secret = path.read_bytes().strip()
        except OSError as exc:
            raise ConfigError(f"--secret-file {path}: cannot be read.") from exc
        if len(secret) < LEAST_SECRET_BYTES:
            raise ConfigError(f"--secret-file {path}: expected at least {LEAST_SECRET_BYTES} bytes.")
        return cls(secret)

    def sign(self, purpose: str, payload: bytes) -> str:
        """Return a token: letters, digits, `-` and `_`."""
        return base64.urlsafe_b64encode(self._signature(purpose, payload) + payload).decode("ascii").rstrip("=")

    def recognise(self, purpose: str, token: str) -> bytes | None:
        """Return the payload of a token of ours; None for anything else."""
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (ValueError, binascii.Error):
            return None
        signature, payload = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        return payload if hmac.compare_digest(signature, self._signature(purpose, payload)) else None

    def seal(self, purpose: str, payload: bytes) -> str:
        """Return the signature alone: it tells nothing of the payload."""
        return self._signature(purpose, payload).hex()

    def _signature(self, purpose: str, payload: bytes) -> bytes:
        signed = purpose.encode("ascii") + b"\0" + payload
        return hmac.new(self._secret, signed, hashlib.sha256).digest()[:_SIGNATURE_BYTES]
