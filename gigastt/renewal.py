"""Certificates of a running server: found at its start, read again when asked to, made anew before they end.

On the event loop of the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from gigastt.authority import Authority, own_authority
from gigastt.config import Settings
from gigastt.errors import GigasttError
from gigastt.gateway.server.listener import Server
from gigastt.gateway.server.tls import Certificate
from gigastt.log import get_logger

log = get_logger(__name__)

Sleep = Callable[[float], Awaitable[object]]

CERTIFICATE_SECONDS: Final = 300.0  # between two looks at it


def find_authority(settings: Settings) -> Authority | None:
    """Return the server's own authority, with a good certificate, where it is to have one.

    Raises:
        ConfigError: its files are wrong, or the extra is missing.
    """
    if not settings.has_own_authority:
        return None
    authority = own_authority(settings.tls_dir, [settings.host, *settings.allowed_host])
    if authority.ensure():
        tell_certificate(authority)
    return authority


def find_certificate(settings: Settings, authority: Authority | None) -> Certificate | None:
    """Load the certificate where there is to be TLS. ConfigError: one of its files is wrong."""
    if authority is not None:
        return Certificate(authority.server, authority.server)
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return Certificate(settings.tls_cert, settings.tls_key)


def reload_certificate(server: Server, authority: Authority | None = None) -> None:
    """Read the certificate and its key again, for connections to come; keep the old ones when that fails.

    One of an own authority is made anew first, where it must be.
    """
    if server.certificate is None:
        return
    try:
        if authority is not None and authority.ensure():
            tell_certificate(authority)
        server.certificate.reload()
    except GigasttError as exc:
        log.error("certificate_not_reloaded", reason=str(exc), message="The certificate stays as it is.")
    else:
        log.info("certificate_reloaded")


async def keep_certificate(
    authority: Authority, server: Server, seconds: float = CERTIFICATE_SECONDS, sleep: Sleep = asyncio.sleep
) -> None:
    """Renew the certificate of an own authority before it ends, and when the machine has got another address."""
    while True:
        await sleep(seconds)
        try:
            renewed = await asyncio.to_thread(authority.ensure)
        except GigasttError as exc:
            log.error("certificate_not_renewed", reason=str(exc))
            continue
        if renewed:
            tell_certificate(authority)
            reload_certificate(server)


def tell_certificate(authority: Authority) -> None:
    """Say that the own authority has made a certificate, and for which names."""
    log.info(
        "certificate_made",
        names=authority.names(),
        authority=str(authority.certificate),
        sha256=authority.fingerprint(),
    )
