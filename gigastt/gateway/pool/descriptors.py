"""Descriptors kept for what must never lack them: starting a worker in the place of a dead one.

Clients may take every descriptor that the process is allowed; then nothing can be opened, and a pool without workers
would stay without. Owned by the pool, on the event loop.

A spawn opens all that it needs before it awaits anything, so no connection that is accepted meanwhile can take what was
lent to it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

# A spawn takes eleven at once under uvloop, seven under asyncio, and keeps three or four: a socket pair, the black box
# and its mapping, /dev/null, the loop's pipes, and the process's entry in /proc.
SPAWN = 12
RESERVED = 3 * SPAWN  # what a dead worker frees, a client may take before the reserve does


class DescriptorReserve:
    """Open descriptors of nothing, closed when they are needed for something."""

    def __init__(self, count: int = RESERVED) -> None:
        self._count = count
        self._held: list[int] = []

    def fill(self) -> None:
        """Take what is missing, as far as there are descriptors."""
        with contextlib.suppress(OSError):
            while len(self._held) < self._count:
                self._held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))

    def empty(self) -> None:
        """Give all of it back."""
        while self._held:
            os.close(self._held.pop())

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Let the body have enough for one spawn; what it does not keep is taken again."""
        for descriptor in self._held[:SPAWN]:
            os.close(descriptor)
        del self._held[:SPAWN]
        try:
            yield
        finally:
            self.fill()
