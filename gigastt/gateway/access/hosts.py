"""Hosts: which names the server answers to.

To a browser, a page whose own name points at this machine's address (DNS rebinding) has the same origin as the server;
only `Host` gives it away. Pure, except that `own_names` asks the kernel once, at start; never the DNS, which may be
slow or somebody else's.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Sequence
from typing import Final

from gigastt.gateway.access.addresses import parse_address

_HOST = re.compile(r"(?P<name>[a-z0-9._-]+|\[[0-9a-f:.%]+\])(?::[0-9]{0,5})?", re.IGNORECASE)


def own_names() -> set[str]:
    """Return this machine's own names: its host name, short and whole, and its name in mDNS."""
    whole = socket.gethostname().lower().rstrip(".")
    short = whole.partition(".")[0]
    return {whole, short, f"{short}.local"} - {""}


ANY_NAME: Final = "*"
# Names that the DNS of the internet cannot have, so that no page of the internet can: of services in Compose and in a
# cluster, and of a local network. A label alone begins with a letter, or it could be an address in disguise.
_PRIVATE = re.compile(r"[a-z][a-z0-9_-]*|[a-z0-9_.-]+\.(?:local|svc|internal|home\.arpa)")


class HostPolicy:
    """A loopback bind answers to loopback names; any other also to addresses, and to private and its own names."""

    def __init__(self, allowed: Iterable[str], *, loopback_bind: bool, names: Iterable[str] = ()) -> None:
        """Args:
        allowed: further names, as in `--allowed-host`, or `*` for any; a reverse proxy may pass them on to a loopback
            bind too.
        names: this machine's own (`own_names`).
        """
        self._loopback_bind = loopback_bind
        self._names = {name.lower().rstrip(".") for name in allowed} | {"localhost"}
        if not loopback_bind:
            self._names |= {name.lower() for name in names}

    def allows(self, hosts: Sequence[str]) -> bool:
        """Decide over the values of all `Host` headers of a request; there must be exactly one."""
        match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if match is None:
            return False
        name = match["name"].lower().rstrip(".")
        if name in self._names or name.strip("[]") in self._names or ANY_NAME in self._names:
            return True
        if not self._loopback_bind and _PRIVATE.fullmatch(name):
            return True
        address = parse_address(name)
        return address is not None and (address.is_loopback or not self._loopback_bind)
