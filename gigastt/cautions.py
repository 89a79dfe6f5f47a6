"""Cautions: what an operator should hear at the start of a server, and not find out later."""

from __future__ import annotations

from gigastt.config import usable_cpus
from gigastt.gateway.access.browsers import ANY_NAME
from gigastt.gateway.context import AppContext
from gigastt.gateway.ops import DEMO_WARNING
from gigastt.log import get_logger

log = get_logger(__name__)


def warn(context: AppContext) -> None:
    """Warn of what is unsafe, slow or not kept in this server."""
    settings = context.settings
    if context.model.demo:
        log.warning("demo_model", message=DEMO_WARNING)
    cores = len(usable_cpus())
    if settings.pool_size > cores:
        message = "Workers share cores: each is slower, and no more streams fit than with one worker a core."
        log.warning("more_workers_than_cores", workers=settings.pool_size, cores=cores, message=message)
    if context.api_keys is not None and context.usage_file is None and context.api_keys.has_days:
        message = "A restart gives keys with hours of audio a day all of them again: --usage-file keeps what was used."
        log.warning("usage_not_kept", message=message)
    if settings.cors_allow_any:
        log.warning("cors_allow_any", message="Every web page that a user of this network opens may use the server.")
    if ANY_NAME in settings.allowed_host and settings.api_keys_file is None:
        message = "A web page that points its own name at this machine may use the server, which asks for no key."
        log.warning("any_host", message=message)
    if settings.bind_all and settings.api_keys_file is None:
        log.warning("open_to_the_network", message="Whoever reaches this machine may use the server: no key is asked.")
