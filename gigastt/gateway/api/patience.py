"""Patience: how many frames that mean nothing a client may send before it is taken for something else.

A core without I/O or clock. Time forgives, and so does audio: a client that sends a useless message every second for
a day has done nothing worth a close.
"""

from __future__ import annotations


class Tolerance:
    """A count that may not pass `most` and falls by `forgiven_per_second`."""

    def __init__(self, most: int, forgiven_per_second: float) -> None:
        self._most = most
        self._per_second = forgiven_per_second
        self._count = 0.0
        self._counted_at = 0.0

    def bear(self, now: float) -> bool:
        """Count one more frame; return whether that can still be borne."""
        if self._count:
            self._count = max(0.0, self._count - (now - self._counted_at) * self._per_second)
        self._counted_at = now
        self._count += 1
        return self._count <= self._most

    def forgive(self) -> None:
        """Forget all that was counted."""
        self._count = 0.0
