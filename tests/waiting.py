"""Wait for a condition with a deadline: what tests do instead of sleeping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_POLL_SECONDS = 0.01
DEADLINE_SECONDS = 60.0  # for a condition that will come: long enough for a machine that is busy with other things


async def wait_until(predicate: Callable[[], object], timeout: float = DEADLINE_SECONDS) -> None:
    """Return as soon as `predicate()` is true.

    Raises:
        TimeoutError: it stayed false for `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while not predicate():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Expected the condition to hold within {timeout} s.")
        await asyncio.sleep(_POLL_SECONDS)


def wait_for(predicate: Callable[[], object], timeout: float = DEADLINE_SECONDS) -> None:
    """Return as soon as `predicate()` is true, in a test without an event loop.

    Raises:
        TimeoutError: it stayed false for `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while not predicate():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Expected the condition to hold within {timeout} s.")
        time.sleep(_POLL_SECONDS)
