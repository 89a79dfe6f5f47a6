"""Connections: how many there may be, from one address and in total.

    a new connection ─┬─ there is room ──────────────→ its requests are served
                      ├─ few are being refused ──────→ its first request is refused, then it is closed
                      └─ too many are, already ──────→ hung up on, without a word

A connection counts from its first packet to its last, even a silent one. That of a trusted proxy counts in total only:
each request it carries counts under its client's address instead, while it is being answered or its WebSocket is open.
A core without I/O; holds nothing of an address that has nothing open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

from gigastt.errors import CapacityTimeout, RateLimited, RequestError
from gigastt.gateway.access.addresses import AddressRange, client_address, is_among, rate_key

MOST_REFUSED: Final = 64  # at a time: they too hold descriptors, until they have read their refusal
PLACE: Final = "place"  # in the state of the ASGI scope: the place of the request's connection

Refusal: TypeAlias = Callable[[], RequestError]


@dataclass(frozen=True, slots=True)
class Caps:
    """How many connections there may be; 0 is any number."""

    per_address: int = 0
    total: int = 0


def most_connections(wanted: int, descriptors: int) -> int:
    """Return how many connections a process may have if it may open so many descriptors (-1: any number).

    A quarter is left to workers, uploads and files, besides the connections that are being refused: without a free
    descriptor a server can neither accept nor refuse.
    """
    return wanted if descriptors < 0 else min(wanted, descriptors * 3 // 4 - MOST_REFUSED)


class Place:
    """One connection, counted until it leaves.

    Attributes:
        key: its address's (`addresses.rate_key`).
        refusal: makes the error that answers its request; None if it may be served.
        shared: a trusted proxy is at the other end, with requests of many clients.
    """

    __slots__ = ("_leave", "key", "refusal", "shared")

    def __init__(self, leave: Callable[[], None], key: int, *, refusal: Refusal | None, shared: bool) -> None:
        self._leave: Callable[[], None] | None = leave
        self.key = key
        self.refusal = refusal
        self.shared = shared

    def leave(self) -> None:
        """Stop counting it; the second call does nothing."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()


class Connections:
    """The connections of one server, by `addresses.rate_key`.

    Args:
        count_refusal: is told of each that is refused: `address_full`, `server_full`, or `flood`, without a word.
    """

    def __init__(
        self,
        caps: Caps = Caps(),
        trusted: Sequence[AddressRange] = (),
        count_refusal: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._caps = caps
        self._count_refusal = count_refusal
        self._trusted = trusted
        self._open = 0
        self._refused = 0
        self._by_address: dict[int, int] = {}

    def enter(self, peer: str | None) -> Place | None:
        """Count a new connection; return None if it must be dropped.

        Args:
            peer: the address of the other end; None for a socket without addresses.
        """
        address = client_address(peer, (), ())
        shared = is_among(self._trusted, address)
        key = rate_key(address)
        refusal: Refusal | None = None
        if 0 < self._caps.total <= self._open:
            refusal = _server_is_full
        elif not shared and self._is_full(key):
            refusal = _address_is_full
        if refusal is None:
            self._open += 1
            counted = None if shared else key
            self._add(counted)
            return Place(lambda: self._leave(counted), key, refusal=None, shared=shared)
        if self._refused >= MOST_REFUSED:
            self._count_refusal("flood")
            return None
        self._count_refusal("server_full" if refusal is _server_is_full else "address_full")
        self._refused += 1
        return Place(self._leave_refused, key, refusal=refusal, shared=shared)

    @contextmanager
    def carrying(self, key: int) -> Iterator[None]:
        """Count one request that a trusted proxy carries, under its client's key.

        Raises:
            RateLimited: the client has as many as it may.
        """
        if self._is_full(key):
            raise _address_is_full()
        self._add(key)
        try:
            yield
        finally:
            self._remove(key)

    def change(self, caps: Caps) -> None:
        """Apply other caps. Open connections stay, even if there are too many now."""
        self._caps = caps

    @property
    def addresses(self) -> int:
        """Addresses with something open."""
        return len(self._by_address)

    def __len__(self) -> int:
        """Connections held, those that are being refused among them."""
        return self._open + self._refused

    def _is_full(self, key: int) -> bool:
        return 0 < self._caps.per_address <= self._by_address.get(key, 0)

    def _leave(self, key: int | None) -> None:
        self._open -= 1
        self._remove(key)

    def _leave_refused(self) -> None:
        self._refused -= 1

    def _add(self, key: int | None) -> None:
        if key is not None:
            self._by_address[key] = self._by_address.get(key, 0) + 1

    def _remove(self, key: int | None) -> None:
        if key is not None:
            left = self._by_address[key] - 1
            if left:
                self._by_address[key] = left
            else:
                del self._by_address[key]


def _address_is_full() -> RequestError:
    return RateLimited("Too many connections from this address.")


def _server_is_full() -> RequestError:
    return CapacityTimeout("The server is busy: it has as many connections as it may.")
