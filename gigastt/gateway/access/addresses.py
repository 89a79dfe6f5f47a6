"""Addresses: the client of a request that may have come through a proxy.

Pure functions over strings and networks. `X-Forwarded-For` counts only when the peer is a trusted proxy, and
then only its right-most hop that is not itself trusted: everything left of it was written by the client.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
AddressRange: TypeAlias = IPv4Network | IPv6Network

_MAX_HOPS = 32
_UNKNOWN = IPv4Address(0)


def parse_networks(networks: Sequence[str]) -> tuple[AddressRange, ...]:
    """Parse CIDRs and single addresses; host bits may be set.

    Raises:
        ValueError: one of them is neither.
    """
    return tuple(ip_network(network, strict=False) for network in networks)


@lru_cache(maxsize=1_024)  # of one client several times, and again with its next request
def parse_address(text: str) -> Address | None:
    """Parse an address with or without a port or zone; an IPv4 address inside IPv6 comes out as IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def client_address(peer: str | None, forwarded: Sequence[str], trusted: Sequence[AddressRange]) -> Address:
    """Return the address a request is counted under.

    Args:
        peer: the other end of the connection; None for a socket without addresses.
        forwarded: the values of every `X-Forwarded-For` header, in order.
        trusted: the networks of proxies whose word counts.
    """
    address = (parse_address(peer) if peer else None) or _UNKNOWN
    if not trusted or not forwarded or not is_among(trusted, address):
        return address
    hops = ",".join(forwarded).rsplit(",", _MAX_HOPS)[-_MAX_HOPS:]
    for hop in reversed(hops):
        parsed = parse_address(hop)
        if parsed is None:  # not an address: count it under the proxy that passed it on
            return address
        address = parsed
        if not is_among(trusted, address):
            return address
    return address


def rate_key(address: Address) -> int:
    """Return the bucket of an address: itself for IPv4, its /64 for IPv6 (one customer has a whole /64)."""
    if isinstance(address, IPv4Address):
        return int(address)
    return -1 - (int(address) >> 64)


def is_among(networks: Sequence[AddressRange], address: Address) -> bool:
    """Tell whether an address lies in one of the networks."""
    return any(address in network for network in networks)
