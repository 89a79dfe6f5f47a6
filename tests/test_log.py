"""Tests of the log: its forms, and what never gets into it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from gigastt import log


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(False)
    logging.getLogger("gigastt").setLevel(logging.NOTSET)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines_carry_event_and_fields() -> None:
    stream = io.StringIO()
    log.configure("info", "json", stream)
    structlog.get_logger("gigastt.test").info("worker_ready", worker=2, load_seconds=0.5)
    (line,) = lines(stream)
    assert line["event"] == "worker_ready"
    assert (line["worker"], line["load_seconds"], line["level"], line["logger"]) == (2, 0.5, "info", "gigastt.test")
    assert line["timestamp"].endswith("Z")


def test_a_stream_that_is_no_terminal_gets_json_by_default() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)
    structlog.get_logger("gigastt.test").info("listening", port=9876)
    assert lines(stream)[0]["port"] == 9876


def test_console_form_is_for_people() -> None:
    stream = io.StringIO()
    log.configure("info", "console", stream)
    structlog.get_logger("gigastt.test").info("listening", port=9876)
    assert "listening" in stream.getvalue()
    assert "port=9876" in stream.getvalue()


def test_level_holds_back_what_is_below_it() -> None:
    stream = io.StringIO()
    log.configure("warning", "json", stream)
    logger = structlog.get_logger("gigastt.test")
    logger.info("quiet")
    logger.warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_bound_ids_appear_in_every_event() -> None:
    stream = io.StringIO()
    log.configure("info", "json", stream)
    with structlog.contextvars.bound_contextvars(request_id="abc"):
        structlog.get_logger("gigastt.test").info("upload_done")
    assert lines(stream)[0]["request_id"] == "abc"


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
    structlog.get_logger("gigastt.test").debug("pass_done")
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
        structlog.get_logger("gigastt.test").exception("task_failed")
    assert "ValueError" in stream.getvalue()
    assert "private transcript" not in stream.getvalue()
