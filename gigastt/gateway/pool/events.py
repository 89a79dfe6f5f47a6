"""Events: what a session tells whoever shows it to a client.

Plain values between `session` and the shells (`live`, uploads, server-sent events), which turn them into
JSON. Times are seconds from the first sample of the client's audio. Know nothing of pipes or sockets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from gigastt.transcript import Final, Gap, Partial, Speakers

EndReason: TypeAlias = Literal["stop", "shutdown", "timeout", "error"]


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """How much of an upload is transcribed. Only uploads get these."""

    seconds: float


Event: TypeAlias = Partial | Final | ProgressEvent | Gap | Speakers
