"""The announcement of the Wyoming listener on the local network (DNS-SD over mDNS): Home Assistant offers it by itself.

Needs the extra `zeroconf`, which is imported only where it is asked for. Runs on the event loop of the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import ipaddress
import socket

from gigastt.config import is_loopback
from gigastt.errors import ConfigError
from gigastt.gateway.context import Listening
from gigastt.log import get_logger

log = get_logger(__name__)

SERVICE = "_wyoming._tcp.local."


def check_zeroconf() -> None:
    """See whether anything can be announced. ConfigError: the extra is not installed."""
    if importlib.util.find_spec("zeroconf") is None:
        raise ConfigError('--wyoming-announce needs an extra: pip install "gigastt-server[zeroconf]".')


async def announce_listener(listening: Listening) -> None:
    """Announce a listener until cancelled; a network that does not take it costs a line in the log and no more."""
    import ifaddr
    from zeroconf import Error, InterfaceChoice
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

    everywhere = ipaddress.ip_address(listening.host).is_unspecified
    known = (str(each.ip) for adapter in ifaddr.get_adapters() for each in adapter.ips if each.is_IPv4)
    addresses = [each for each in known if not is_loopback(each)] if everywhere else [listening.host]
    name = f"gigastt-{socket.gethostname().partition('.')[0]}-{listening.port}"
    service = AsyncServiceInfo(
        SERVICE, f"{name}.{SERVICE}", port=listening.port, parsed_addresses=addresses, server=f"{name}.local."
    )
    async with contextlib.AsyncExitStack() as stack:
        try:
            network = AsyncZeroconf(interfaces=InterfaceChoice.All if everywhere else [listening.host])
            stack.push_async_callback(network.async_close)
            await network.async_register_service(service)
            log.info("wyoming_announced", name=name, port=listening.port)
        except (OSError, Error) as exc:
            log.warning("wyoming_not_announced", reason=str(exc) or type(exc).__name__)
        await asyncio.Event().wait()
