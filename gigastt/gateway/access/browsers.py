"""Browsers: which web pages may use the server (`Origin`), and to which names it answers (`Host`).

Browsers put a page's origin into `Origin`; other clients send none and are let through. WebSocket handshakes are
checked like requests, because no browser asks for permission before opening a WebSocket.

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

# The host must end where the origin does, at a port or at a path: `http://localhost.evil.example` and
# `http://localhost:80@evil.example` begin like a loopback name too.
_LOOPBACK = re.compile(r"https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{0,5})?(?:/.*)?", re.IGNORECASE)
_ALLOWED_HEADERS = "authorization, content-type, x-request-id"
_HEADER_NAMES = re.compile(r"[A-Za-z0-9_, -]{1,1000}")
_EXPOSED_HEADERS = "retry-after, x-request-id"
_PREFLIGHT_SECONDS = "600"


class OriginPolicy:
    """Loopback pages always; listed origins; all of them if asked for."""

    def __init__(self, allowed: Sequence[str], *, allow_any: bool) -> None:
        """Args:
        allowed: exact origins, as in `--allow-origin`. `null` passes only if it is among them: every page of the web
            can take it, in a sandboxed frame.
        """
        self._allowed = {origin.rstrip("/").lower() for origin in allowed}
        self._allow_any = allow_any

    def allows(self, origins: Sequence[str]) -> bool:
        """Decide over the values of all `Origin` headers of a request; a browser sends at most one."""
        if not origins:
            return True
        if len(origins) > 1:
            return False
        origin = origins[0]
        return self._allow_any or origin.lower() in self._allowed or _LOOPBACK.fullmatch(origin) is not None


def is_own_page(origins: Sequence[str], hosts: Sequence[str]) -> bool:
    """Tell whether a page of this very server asks: its origin names the host and port that `Host` does.

    `Host` must be checked as well, or a name that is pointed at this machine would make any page its own. The scheme
    may differ: a proxy may have ended TLS.
    """
    if len(origins) != 1 or len(hosts) != 1:
        return False
    scheme, separator, authority = origins[0].partition("://")
    return scheme.lower() in ("http", "https") and bool(separator) and authority.lower() == hosts[0].lower()


def cors_headers(origin: str) -> list[tuple[bytes, bytes]]:
    """Return the headers by which a page of an allowed origin may read an answer."""
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", _EXPOSED_HEADERS.encode("ascii")),
    ]


def preflight_headers(methods: str, asked: str = "") -> dict[str, str]:
    """Return the headers of the answer to a preflight of an allowed origin.

    Args:
        methods: as in `Allow`.
        asked: the headers that the page wants to send; all of them, for libraries have names of their own.
    """
    return {
        "access-control-allow-methods": methods,
        "access-control-allow-headers": asked if _HEADER_NAMES.fullmatch(asked) else _ALLOWED_HEADERS,
        "access-control-max-age": _PREFLIGHT_SECONDS,
    }


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
