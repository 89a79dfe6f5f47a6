"""Logging: events with fields, as JSON lines or for a terminal, on standard error.

`configure` is called once in each process, before its first thread. Our own modules log through structlog
(`structlog.get_logger(__name__)`); what uvicorn and other libraries log comes out in the same form.

Privacy: libraries never log below INFO, whatever level is asked for, because some of them (websockets, httpcore)
write frames and headers at DEBUG; tracebacks never show local variables.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor

OWN_LOGGER = "gigastt"


def configure(level: str = "info", form: str = "auto", stream: TextIO | None = None) -> None:
    """Send every log event of this process to `stream`.

    Args:
        level: debug, info, warning or error; for this project's own events.
        form: json, console, or auto: console if `stream` is a terminal.
        stream: standard error by default.
    """
    target = sys.stderr if stream is None else stream
    terminal = target.isatty()
    console = form == "console" or (form == "auto" and terminal)
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *common,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*common, structlog.stdlib.ExtraAdder(), _name_foreign_event],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(console, terminal)],
        )
    )
    wanted = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(logging.INFO, wanted))
    logging.getLogger(OWN_LOGGER).setLevel(wanted)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        library = logging.getLogger(name)
        library.handlers = []
        library.propagate = True
        library.setLevel(logging.NOTSET)
    logging.captureWarnings(True)


def _renderers(console: bool, terminal: bool) -> list[Processor]:
    if console:
        formatter = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=formatter)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]


def _name_foreign_event(logger: Any, method: str, event: EventDict) -> EventDict:
    """Turn a library's prose into an event: `event` is the library's name, its sentence is `message`."""
    library = str(event.get("logger", "library")).split(".")[0]
    event["message"] = event["event"]
    event["event"] = f"{library}_message"
    return event
