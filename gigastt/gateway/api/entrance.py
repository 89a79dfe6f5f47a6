"""The entrance: a live client waits for its place, behind the opening of its connection or before it.

It may lose patience meanwhile. On the event loop, in the client's task.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final, TypeAlias

from gigastt.gateway.api.dialect import Message
from gigastt.gateway.api.transport import InputEnded, Transport

Early: TypeAlias = Message | InputEnded

_WAIT: Final = re.compile(r"(?:^|[\s,;])wait\s*=\s*\"?([0-9]{1,5})\b", re.IGNORECASE)


def seconds_to_wait(preferences: list[str]) -> float | None:
    """Return the seconds of `Prefer: wait=N` (RFC 7240), in which a place is wanted before the upgrade.

    None: the client waits behind the upgrade, where it can be told that it waits.
    """
    found = _WAIT.search(",".join(preferences))
    return float(found[1]) if found else None


async def wait_for_place(
    stack: AsyncExitStack,
    admission: AbstractAsyncContextManager[None],
    transport: Transport,
    joins: Callable[[Early], bool],
) -> tuple[bool, Early | None]:
    """Enter `admission` on `stack`; return whether there is a place, and what came meanwhile.

    Args:
        stack: holds the place.
        admission: gives it.
        transport: of the client.
        joins: whether a client that says this needs no place, since it has one.

    Raises:
        RequestError: there is no place.
        ClientGone: the client hung up.
    """
    admitting = asyncio.ensure_future(stack.enter_async_context(admission))
    first = asyncio.ensure_future(transport.receive())
    try:
        await asyncio.wait({admitting, first}, return_when=asyncio.FIRST_COMPLETED)
        if not admitting.done():
            if joins(first.result()):
                return False, None
            await asyncio.wait({admitting})
        admitting.result()
    finally:
        for task in (admitting, first):
            task.cancel()
        await asyncio.gather(admitting, first, return_exceptions=True)
    return True, None if first.cancelled() else first.result()
