"""What fuzzers find: faults that were logged or raised while they ran, beside how much they sent."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import Any

REFUSALS = ("session_refused", "connection_refused")  # warnings of what is not the server's fault


@dataclass
class Findings:
    """What came of it: the frames sent, and everything that was logged or raised and should not have been."""

    frames: int = 0
    connections: int = 0
    closed_with: dict[int, int] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


class _Faults(logging.Handler):
    """Notes warnings, errors and tracebacks of every logger."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__()
        self._faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        refused = record.getMessage() in REFUSALS
        if (record.levelno >= logging.WARNING and not refused) or record.exc_info:
            trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
            self._faults.append(f"{record.name}: {record.getMessage()} {trace}")


@contextlib.contextmanager
def watching(findings: Findings) -> Any:
    """Note what the loop and the loggers have to complain of."""
    loop = asyncio.get_running_loop()
    handler = _Faults(findings.faults)
    logging.getLogger().addHandler(handler)
    loop.set_exception_handler(lambda _, context: findings.faults.append(f"event loop: {context}"))
    try:
        yield
    finally:
        loop.set_exception_handler(None)
        logging.getLogger().removeHandler(handler)
