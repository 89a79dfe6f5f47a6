"""Descriptors kept for what must never lack them: starting a worker in the place of a dead one.

Clients may take every descriptor that the process is allowed; then nothing can be opened, and a pool without workers
would stay without. Owned by the pool, on the event loop.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

RESERVED = 16  # a spawn takes a socket pair, the black box, /dev/null, and what asyncio needs to follow a process


class DescriptorReserve:
    """Open descriptors of nothing, closed for as long as somebody needs them for something."""

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
        """Let the body have the reserve; what the body does not keep is taken again."""
        self.empty()
        try:
            yield
        finally:
            self.fill()
