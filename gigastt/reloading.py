"""Reloading: what changes while the server runs. SIGHUP applies limits, keys and certificate, SIGUSR2 new workers.

Both read flags, environment and file again, as the start did. On the event loop of the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Final

from gigastt.config import Limits, Settings
from gigastt.errors import GigasttError
from gigastt.gateway.context import AppContext
from gigastt.gateway.server.listener import Server
from gigastt.log import configure, get_logger
from gigastt.model_loading import change_model
from gigastt.models.store import resolve
from gigastt.renewal import reload_certificate

log = get_logger(__name__)

SettingsReader = Callable[[], Settings]

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
    model = await asyncio.to_thread(resolve, wanted.model, wanted.model_dir, wanted.precision)
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
