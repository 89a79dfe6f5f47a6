"""Tests of the log: its forms, and what never gets into it."""

from __future__ import annotations

import contextvars
import io
import json
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gigastt import log
from tests.fakes.terminal import Terminal


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    root.handlers, root.level = handlers, level
    logging.captureWarnings(False)
    logging.getLogger("gigastt").setLevel(logging.NOTSET)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines_carry_event_and_fields() -> None:
    stream = io.StringIO()
    log.configure("info", "json", stream)
    log.get_logger("gigastt.test").info("worker_ready", worker=2, load_seconds=0.5)
    (line,) = lines(stream)
    assert line["event"] == "worker_ready"
    assert (line["worker"], line["load_seconds"], line["level"], line["logger"]) == (2, 0.5, "info", "gigastt.test")
    assert line["timestamp"].endswith("Z")


def test_a_stream_that_is_no_terminal_gets_json_by_default() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)
    log.get_logger("gigastt.test").info("listening", port=9876)
    assert lines(stream)[0]["port"] == 9876


def test_console_form_is_for_people() -> None:
    stream = io.StringIO()
    log.configure("info", "console", stream)
    log.get_logger("gigastt.test").info("listening", port=9876)
    assert "listening" in stream.getvalue()
    assert "port=9876" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_gets_colours_and_nothing_that_could_pass_for_another_line() -> None:
    stream = Terminal()
    log.configure(stream=stream)
    log.get_logger("gigastt.test").error("refused", cause="no\nroom", level_name="\x1b[2J", path="/v1/ws")
    assert "\x1b[31m" in stream.getvalue()
    plain = re.sub(r"\x1b\[\d+m", "", stream.getvalue())
    assert plain.count("\n") == 1
    assert plain.rstrip().endswith(r"[gigastt.test] cause='no\nroom' level_name='\x1b[2J' path=/v1/ws")


def test_level_holds_back_what_is_below_it() -> None:
    stream = io.StringIO()
    log.configure("warning", "json", stream)
    logger = log.get_logger("gigastt.test")
    logger.info("quiet")
    logger.warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_bound_ids_appear_in_every_event() -> None:
    stream = io.StringIO()
    log.configure("info", "json", stream)
    logger = log.get_logger("gigastt.test")
    with log.bound_fields(request_id="abc"):
        logging.getLogger("asyncio").info("Hello.")
        with log.bound_fields(stream=1):
            logger.info("upload_done", stream=2)
    logger.info("idle")
    library, own, after = lines(stream)
    assert library["request_id"] == "abc"
    assert (own["request_id"], own["stream"]) == ("abc", 2)
    assert "request_id" not in after


def test_ids_bound_for_good_stay_with_the_task_that_bound_them() -> None:
    stream = io.StringIO()
    log.configure("info", "json", stream)

    def work() -> None:
        log.bind_fields(worker_pid=5)
        log.get_logger("gigastt.test").info("worker_ready")

    contextvars.copy_context().run(work)
    log.get_logger("gigastt.test").info("after")
    assert [line.get("worker_pid") for line in lines(stream)] == [5, None]


def test_what_json_does_not_know_is_written_as_python_shows_it() -> None:
    stream = io.StringIO()
    log.configure("info", "json", stream)
    log.get_logger("gigastt.test").info("found", file=Path("a"), names=("б", "в"))
    line = stream.getvalue()
    assert json.loads(line)["file"] == repr(Path("a"))
    assert '["б", "в"]' in line


def test_an_exception_is_one_field_of_its_event() -> None:
    stream = io.StringIO()
    log.configure("info", "json", stream)
    try:
        raise ValueError("bad")
    except ValueError:
        log.get_logger("gigastt.test").exception("task_failed", task=1)
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["task"]) == ("task_failed", "error", 1)
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: bad")


def test_library_messages_come_out_as_events() -> None:
    stream = io.StringIO()
    log.configure("info", "json", stream)
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    (line,) = lines(stream)
    assert line["event"] == "uvicorn_message"
    assert line["message"] == "Invalid HTTP request received."


def test_libraries_stay_silent_at_debug_where_they_would_write_frames() -> None:
    stream = io.StringIO()
    log.configure("debug", "json", stream)
    logging.getLogger("websockets.server").debug("< TEXT 'секрет'")
    logging.getLogger("httpcore.http11").debug("authorization: Bearer secret")
    log.get_logger("gigastt.test").debug("pass_done")
    assert [line["event"] for line in lines(stream)] == ["pass_done"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_tracebacks_show_no_local_variables(form: str) -> None:
    stream = io.StringIO()
    log.configure("info", form, stream)
    words = ["private", "transcript"]
    transcript = " ".join(words)
    try:
        raise ValueError(len(transcript))
    except ValueError:
        log.get_logger("gigastt.test").exception("task_failed")
    assert "ValueError" in stream.getvalue()
    assert "private transcript" not in stream.getvalue()


class Unlucky:
    def __del__(self) -> None:
        raise ValueError("in a finaliser")


@pytest.mark.parametrize("event", ["uncaught", "thread", "unraisable", "warning"])
def test_what_python_itself_would_print_becomes_an_event(event: str) -> None:
    stream = io.StringIO()
    log.configure("info", "json", stream)
    if event == "uncaught":
        error = RuntimeError("nobody\ncaught me")
        sys.excepthook(RuntimeError, error, None)
    elif event == "thread":
        thread = threading.Thread(target=lambda: 1 // 0, name="counting")
        thread.start()
        thread.join()
    elif event == "unraisable":
        Unlucky()
    else:
        warnings.showwarning("old", DeprecationWarning, "a.py", 1)
    (line,) = lines(stream)
    assert line["event"] == {"thread": "uncaught", "warning": "py_message"}.get(event, event)
    assert ("exception" in line) == (event != "warning")
    assert line.get("thread") == ("counting" if event == "thread" else None)


def test_an_interrupt_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    log.configure("info", "json", stream)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert stream.getvalue() == ""
    assert "KeyboardInterrupt" in capsys.readouterr().err
