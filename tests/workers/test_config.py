"""A worker's configuration goes over its command line."""

from __future__ import annotations

import sys

import pytest

from gigastt.errors import ConfigError
from gigastt.workers.config import WorkerConfig

_CONFIG = WorkerConfig("demo", "/models/e.onnx", "/models/слова.txt", "/models/d.onnx", "/models/j.onnx", {"key": "1"})


def test_it_survives_the_command_line() -> None:
    command = _CONFIG.command(7)

    assert command[:6] == [sys.executable, "-P", "-m", "gigastt.workers", "--fd", "7"]
    assert WorkerConfig.from_json(command[-1]) == _CONFIG


@pytest.mark.parametrize("text", ["", "{}", "[]", "1", '{"model": "demo", "surprise": 1}'])
def test_what_is_no_configuration_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ConfigError, match="configuration of a worker"):
        WorkerConfig.from_json(text)
