"""The entrance: a live client waits for a place, behind the opening of its connection or before it.

It may lose patience meanwhile. On the event loop, in the client's task.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

from gigastt.gateway.api.dialect import Message
from gigastt.gateway.api.transport import InputEnded, Transport
from gigastt.gateway.pool.admission import Guest
from gigastt.gateway.pool.ports import ServingPool

_WAIT: Final = re.compile(r"(?:^|[\s,;])wait\s*=\s*\"?([0-9]{1,5})\b", re.IGNORECASE)


def seconds_to_wait(preferences: list[str]) -> float | None:
    """Return the seconds of `Prefer: wait=N` (RFC 7240), in which a place is wanted before the upgrade.

    None: the client waits behind the upgrade, where it can be told that it waits.
    """
    found = _WAIT.search(",".join(preferences))
    return float(found[1]) if found else None


class HasPlace(Exception):
    """The client needs no place: it comes back to a session that has one."""


async def take_place(
    stack: AsyncExitStack,
    pool: ServingPool,
    timeout: float,
    guest: Guest,
    transport: Transport,
    joins: Callable[[Message | InputEnded], bool],
) -> Message | InputEnded | None:
    """Take a place until the stack ends; return what the client sent meanwhile.

    Raises:
        HasPlace: `joins` says that of what it sent.
        RequestError: there is none in time, or the server drains.
        ClientGone: the client has lost its patience.
    """
    if pool.places.available and not pool.places.waiters:  # nearly always; a start is cheaper without two tasks
        await stack.enter_async_context(pool.places.admit(timeout, guest))
        return None
    admission = asyncio.ensure_future(stack.enter_async_context(pool.places.admit(timeout, guest)))
    first = asyncio.ensure_future(transport.receive())
    try:
        await asyncio.wait({admission, first}, return_when=asyncio.FIRST_COMPLETED)
        if not admission.done():
            if joins(first.result()):
                raise HasPlace
            await asyncio.wait({admission})
        admission.result()
    finally:
        for task in (admission, first):
            task.cancel()
        await asyncio.gather(admission, first, return_exceptions=True)
    return None if first.cancelled() else first.result()
