"""Settings that are read again while the server runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from gigastt.config import DEMO_MODEL, Limits, Settings
from gigastt.errors import ConfigError, WorkerBootFailed
from gigastt.gateway.app import create_app
from gigastt.gateway.server.listener import Server
from gigastt.log import fields_of
from gigastt.reloading import keep_upgrading, reload_limits
from tests.fakes.pool import Fakes
from tests.waiting import wait_until


def settings(**values: Any) -> Settings:
    return Settings(**{"model_dir": Path("models"), **values})


def logged(caplog: pytest.LogCaptureFixture) -> dict[str, dict[str, Any]]:
    return {fields["event"]: fields for fields in map(cast("Any", fields_of), caplog.records)}


async def test_limits_are_read_again_and_the_log_has_what_changed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    context = Fakes().context()
    server = Server(create_app(context), max_frame_bytes=1000)
    reload_limits(context, server, lambda: settings(limits=Limits(ws_frame_max_bytes=2000, rate_limit_burst=5)))
    assert context.limits.rate_limit_burst == 5
    assert server.config.ws_max_size == 2000
    assert logged(caplog)["limits_reloaded"]["changed"] == {
        "ws-frame-max-bytes": [524_288, 2000],
        "rate-limit-burst": [10, 5],
    }
    assert "not_reloaded" not in logged(caplog)


async def test_settings_that_cannot_change_yet_are_named_with_what_applies_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    context = Fakes().context()
    server = Server(create_app(context), max_frame_bytes=1000)
    reload_limits(context, server, lambda: settings(port=1, precision="fp32"))
    records = [fields_of(record) for record in caplog.records]  # events below warnings too, if a test has asked
    told = [fields for fields in records if fields["event"] == "not_reloaded"]
    assert [(fields["settings"], "SIGUSR2" in str(fields["message"])) for fields in told] == [
        (["precision"], True),
        (["port"], False),
    ]


async def test_limits_stay_when_they_cannot_be_read() -> None:
    def fail() -> Settings:
        raise ConfigError("limits.toml: not a number")

    context = Fakes().context(Limits(idle_timeout_secs=7))
    server = Server(create_app(context), max_frame_bytes=1000)
    reload_limits(context, server, fail)
    assert context.limits.idle_timeout_secs == 7
    assert server.config.ws_max_size == 1000


async def test_an_upgrade_that_fails_changes_nothing_and_the_next_one_is_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fakes = Fakes()
    fakes.pool.replacement_error = WorkerBootFailed("The new worker did not get ready.")
    context = fakes.context()
    asked = asyncio.Event()
    upgrading = asyncio.create_task(keep_upgrading(context, lambda: settings(model=DEMO_MODEL), asked))
    asked.set()
    await wait_until(lambda: "upgrade_failed" in logged(caplog))
    assert context.model.name == "gigaam-v3-e2e-rnnt"

    fakes.pool.replacement_error = None
    asked.set()
    await wait_until(lambda: context.model.demo)
    assert context.settings.model == DEMO_MODEL
    assert fakes.pool.replacements == 1
    upgrading.cancel()
    await asyncio.gather(upgrading, return_exceptions=True)
