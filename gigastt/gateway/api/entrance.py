"""Entrance: a client waits for its place, and may lose patience meanwhile. Runs in the connection's task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from gigastt.gateway.api.dialect import Message
from gigastt.gateway.api.transport import InputEnded, Transport

Early = Message | InputEnded


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
