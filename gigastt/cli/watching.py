"""Watching: files of folders that fill, each when it has come to rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

SECONDS_BETWEEN_LOOKS = 2.0


async def watch_files(find: Callable[[], Sequence[str]], seconds: float = SECONDS_BETWEEN_LOOKS) -> AsyncIterator[str]:
    """Yield each file that is found once its size and time are the same at two looks, and again when it has changed.

    Args:
        find: looks for files.
        seconds: between two looks.
    """
    before: dict[str, tuple[int, int]] = {}
    told: dict[str, tuple[int, int]] = {}
    while True:
        now = {name: stamp for name in find() if (stamp := _stamp(name)) is not None}
        for name, stamp in now.items():
            if before.get(name) == stamp and told.get(name) != stamp:
                told[name] = stamp
                yield name
        before = now
        await asyncio.sleep(seconds)


def _stamp(name: str) -> tuple[int, int] | None:
    try:
        status = Path(name).stat()
    except OSError:  # gone again
        return None
    return status.st_size, status.st_mtime_ns
