"""Logging: events with fields, as JSON lines or for a terminal, on standard error.

`configure` is called once in each process, before its first thread. Our own modules log through `get_logger`; events of
uvicorn and other libraries come out in the same form. The standard library only: a worker's memory is its own,
and four of them should not each hold a logging framework.

Privacy: libraries never log below INFO, whatever level is asked for, because some of them (websockets, httpcore)
write frames and headers at DEBUG; tracebacks never show local variables.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

OWN_LOGGER = "gigastt"
_FIELDS = "gigastt_fields"  # the attribute of a record that makes it an event of ours
_NOT_EXTRA = {*logging.makeLogRecord({}).__dict__, "message", "asctime"}
_EVENT_WIDTH = 30

_RESET, _BOLD, _DIM, _BLUE, _CYAN, _MAGENTA = (f"\x1b[{code}m" for code in (0, 1, 2, 34, 36, 35))
_LEVEL_COLOURS = {"debug": "\x1b[32m", "info": "\x1b[32m", "warning": "\x1b[33m"}
_RED = "\x1b[31m"

_bound: ContextVar[Mapping[str, object]] = ContextVar("bound", default={})  # noqa: B039 - never written to


class EventLogger:
    """Logs events of one module: a name, and fields."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: object) -> None:
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._log(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: object) -> None:
        """Log an error with the traceback of the exception that is being handled."""
        self._log(logging.ERROR, event, fields, traceback=True)

    def _log(self, level: int, event: str, fields: dict[str, object], *, traceback: bool = False) -> None:
        self._logger.log(level, event, exc_info=traceback, extra={_FIELDS: fields})


def get_logger(name: str) -> EventLogger:
    """Return the logger of a module."""
    return EventLogger(name)


def bind_fields(**fields: object) -> None:
    """Add fields to every event of this task or thread from now on."""
    _bound.set({**_bound.get(), **fields})


@contextmanager
def bound_fields(**fields: object) -> Iterator[None]:
    """Add fields to every event that this task, and tasks it starts, logs inside."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


def configure(level: str = "info", form: str = "auto", stream: TextIO | None = None) -> bool:
    """Send every log event of this process to `stream`; return whether people read it there, on a terminal.

    Args:
        level: debug, info, warning or error; for this project's own events.
        form: json, console, or auto: console if `stream` is a terminal.
        stream: standard error by default.
    """
    target = sys.stderr if stream is None else stream
    terminal = target.isatty()
    console = form == "console" or (form == "auto" and terminal)
    handler = logging.StreamHandler(target)
    handler.setFormatter(ConsoleFormatter(colours=terminal) if console else JsonFormatter())
    wanted = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(logging.INFO, wanted))
    logging.getLogger(OWN_LOGGER).setLevel(wanted)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "huggingface_hub"):
        library = logging.getLogger(name)
        library.handlers = []
        library.propagate = True
        library.setLevel(logging.NOTSET)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # of its start and end our own events tell
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every form that a client breaks
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it tells every request
    logging.captureWarnings(True)
    _log_failures()
    return console and terminal


def _log_failures() -> None:
    """Make events of exceptions that nobody caught, in any thread; Python would print them on many lines."""
    log = logging.getLogger(OWN_LOGGER)

    def fail(event: str, exc: BaseException | None, **fields: object) -> None:
        log.error(event, exc_info=exc, extra={_FIELDS: fields})

    def except_hook(kind: type[BaseException], exc: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, exc, trace)
        else:
            fail("uncaught", exc)

    sys.excepthook = except_hook
    threading.excepthook = lambda args: fail("uncaught", args.exc_value, thread=args.thread and args.thread.name)
    sys.unraisablehook = lambda args: fail("unraisable", args.exc_value, where=repr(args.object))


class JsonFormatter(logging.Formatter):
    """One JSON object a line; the traceback is a field."""

    def format(self, record: logging.LogRecord) -> str:
        fields = fields_of(record)
        if record.stack_info:
            fields["stack"] = record.stack_info
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False, default=repr)


class ConsoleFormatter(logging.Formatter):
    """Time, level, event and logger in columns, then the fields by name; tracebacks on lines of their own."""

    def __init__(self, *, colours: bool) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        fields = fields_of(record)
        time, level, event, logger = (str(fields.pop(name)) for name in ("timestamp", "level", "event", "logger"))
        columns = [
            self._paint(time, _DIM),
            f"[{self._paint(f'{level:9}', _LEVEL_COLOURS.get(level, _RED), _BOLD)}]",
            self._paint(f"{event:{_EVENT_WIDTH}}", _BOLD),
            f"[{self._paint(logger, _BOLD, _BLUE)}]",
            *(
                f"{self._paint(name, _CYAN)}={self._paint(_show(value), _MAGENTA)}"
                for name, value in sorted(fields.items())
            ),
        ]
        lines = [" ".join(columns)]
        if record.stack_info:
            lines.append(record.stack_info)
        if record.exc_info:
            lines.append(self.formatException(record.exc_info))
        return "\n".join(lines)

    def _paint(self, text: str, *styles: str) -> str:
        return f"{''.join(styles)}{text}{_RESET}" if self._colours else text


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """Return a record as an event: its fields, the bound fields, its logger and its time.

    A library's prose becomes an event: `event` is the library's name, its sentence is `message`.
    """
    own: dict[str, object] | None = getattr(record, _FIELDS, None)
    if own is None:
        event = f"{record.name.partition('.')[0]}_message"
        own = {name: value for name, value in record.__dict__.items() if name not in _NOT_EXTRA}
        own["message"] = record.getMessage()
    else:
        event = record.msg
    time = datetime.fromtimestamp(record.created, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    who = {"logger": record.name, "level": record.levelname.lower(), "timestamp": f"{time}Z"}
    return {**_bound.get(), **own, "event": event, **who}


def _show(value: object) -> str:
    """Return a value as people read it: quoted only if its end would not be clear."""
    if isinstance(value, str) and value.isprintable() and not set(value) & set(" =\"'"):
        return value
    return repr(value)
