"""Reloading: what changes while the server runs. SIGHUP applies limits, keys and certificate, SIGUSR2 new workers.

Both read flags, environment and file again, as the start did. A certificate of the server's own authority is also made
anew before it ends. On the event loop of the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import fields, replace
from typing import Any, Final

from gigastt.authority import Authority, own_authority
from gigastt.config import Limits, Settings
from gigastt.errors import GigasttError
from gigastt.gateway.context import AppContext
from gigastt.gateway.server.listener import Server
from gigastt.gateway.server.tls import Certificate
from gigastt.log import configure, get_logger
from gigastt.model_loading import change_model
from gigastt.models.store import resolve

log = get_logger(__name__)

SettingsReader = Callable[[], Settings]
Sleep = Callable[[float], Awaitable[object]]

CERTIFICATE_SECONDS: Final = 300.0  # between two looks at it

OF_WORKERS: Final = (
    "model",
    "model_dir",
    "precision",
    "min_confidence",
    "hotwords_file",
    "log_level",
    "log_format",
)  # what an upgrade applies


def reload_limits(context: AppContext, server: Server, read_settings: SettingsReader) -> None:
    """Read the settings again, apply the limits, and say what changed; keep the old ones when that fails."""
    try:
        settings = read_settings()
    except GigasttError as exc:
        log.error("reload_failed", reason=str(exc), message="The settings stay as they are.")
        return
    reload_keys(context)
    reload_certificate(server, context.authority)
    changed = differences(context.limits, settings.limits)
    context.change_limits(settings.limits)
    server.change_frame_limit(settings.limits.ws_frame_max_bytes)
    log.info("limits_reloaded", changed=changed)
    waiting = differences(context.settings, settings).keys()
    for names, remedy in (
        (sorted(waiting & set(map(_flag, OF_WORKERS))), "`gigastt reload` (SIGUSR2) applies these."),
        (sorted(waiting - set(map(_flag, OF_WORKERS))), "These are applied at the next start."),
    ):
        if names:
            log.warning("not_reloaded", settings=names, message=remedy)


def reload_keys(context: AppContext) -> None:
    """Read the file of API keys again, and say whose were added and removed; keep the old ones when that fails."""
    if context.api_keys is None or context.settings.api_keys_file is None:
        return
    try:
        changes = context.api_keys.reload(context.settings.api_keys_file)
    except GigasttError as exc:
        log.error("keys_not_reloaded", reason=str(exc), message="The keys stay as they are.")
        return
    if changes.added or changes.removed or changes.limited:
        log.info("keys_reloaded", added=changes.added, removed=changes.removed, limited=changes.limited)


async def keep_upgrading(context: AppContext, read_settings: SettingsReader, asked: asyncio.Event) -> None:
    """Replace the workers each time it is asked for; return never."""
    while True:
        await asked.wait()
        asked.clear()
        try:
            await upgrade(context, read_settings())
        except (GigasttError, OSError) as exc:
            log.error("upgrade_failed", reason=str(exc), message="The workers that were not replaced go on serving.")


async def upgrade(context: AppContext, settings: Settings) -> None:
    """Replace the workers with others that have these settings.

    Raises:
        GigasttError: there is no such model, or its workers do not get ready.
        OSError: its files cannot be read.
    """
    wanted = replace(context.settings, **{name: getattr(settings, name) for name in OF_WORKERS})
    changed = differences(context.settings, wanted)
    log.info("upgrading", workers=context.pool.size, changed=changed)
    model = await asyncio.to_thread(resolve, wanted.model, wanted.model_dir, wanted.encoder)
    await change_model(context, wanted, model)
    context.settings = wanted
    configure(wanted.log_level, wanted.log_format)
    log.info("upgraded", model=model.name, encoder=model.form, changed=changed)


def differences(old: Settings | Limits, new: Settings | Limits) -> dict[str, list[Any]]:
    """Return the flags of the settings that differ, each with its old and its new value; limits are not looked into."""
    pairs = {field.name: [getattr(old, field.name), getattr(new, field.name)] for field in fields(old)}
    return {
        _flag(name): [value if isinstance(value, int | float | str | None) else str(value) for value in pair]
        for name, pair in pairs.items()
        if pair[0] != pair[1] and name != "limits"
    }


def _flag(name: str) -> str:
    return name.replace("_", "-")


# -- the certificate


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
