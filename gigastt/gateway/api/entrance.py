"""The entrance: a live client waits for a place, behind the opening of its connection or before it.

On the event loop, in the client's task.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from typing import Final

from gigastt.gateway.api.dialect import Message
from gigastt.gateway.api.transport import InputEnded, Transport
from gigastt.gateway.pool.admission import Guest
from gigastt.gateway.pool.pool import Pool

_WAIT: Final = re.compile(r"(?:^|[\s,;])wait\s*=\s*\"?([0-9]{1,5})\b", re.IGNORECASE)


def seconds_to_wait(preferences: list[str]) -> float | None:
    """Return the seconds of `Prefer: wait=N` (RFC 7240), in which a place is wanted before the upgrade.

    None: the client waits behind the upgrade, where it can be told that it waits.
    """
    found = _WAIT.search(",".join(preferences))
    return float(found[1]) if found else None


async def enter(
    stack: AsyncExitStack, pool: Pool, timeout: float, guest: Guest, transport: Transport
) -> Message | InputEnded | None:
    """Take a place until the stack ends; return what the client sent meanwhile.

    Raises:
        RequestError: there is none in time, or the server drains.
        ClientGone: the client has lost its patience.
    """
    admission = asyncio.ensure_future(stack.enter_async_context(pool.admit(timeout, guest)))
    first = asyncio.ensure_future(transport.receive())
    try:
        await asyncio.wait({admission, first}, return_when=asyncio.FIRST_COMPLETED)
        if not admission.done():
            first.result()
            await asyncio.wait({admission})
        admission.result()
    finally:
        for task in (admission, first):
            task.cancel()
        await asyncio.gather(admission, first, return_exceptions=True)
    return None if first.cancelled() else first.result()
