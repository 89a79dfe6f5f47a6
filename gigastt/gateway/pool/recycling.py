"""Recycling: workers that have done enough are replaced, before what grows in them does harm. On the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from gigastt.errors import WorkerBootFailed
from gigastt.gateway.pool.crew import Crew
from gigastt.gateway.pool.wear import Endurance
from gigastt.log import get_logger

log = get_logger(__name__)

LOOK_SECONDS = 1.0
FAILED_SECONDS = 60.0  # after a new worker did not get ready


async def recycle(crew: Crew, endurance: Endurance, clock: Callable[[], float] = time.monotonic) -> None:
    """Replace workers beyond their endurance, one at a time, for ever; their sessions go on in others."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        worn = {index: reason for index, wear in crew.wear.items() if (reason := wear.exceeds(endurance, clock()))}
        for index, reason in worn.items():
            try:
                await crew.replace(only=index)
            except WorkerBootFailed as exc:
                log.error("recycling_failed", worker=index, cause=str(exc), message="The old worker goes on.")
                await asyncio.sleep(FAILED_SECONDS)
            else:
                log.info("worker_recycled", worker=index, reason=reason)
