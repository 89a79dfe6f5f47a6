"""`gigastt config show`: what a server would have, where it comes from, and that it can be read back."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import click
import pytest

from gigastt.cli.environment import PREFIX
from gigastt.cli.main import run_command
from gigastt.cli.serve import build_settings, serve
from gigastt.config import Settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


def show(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run_command(["config", "show", *arguments]) == 0
    return capsys.readouterr().out


def origins(shown: str) -> dict[str, str]:
    lines = [line.rpartition(" # ") for line in shown.splitlines()]
    return {before.removeprefix("# ").split(" ")[0]: origin for before, _, origin in lines}


def test_each_setting_has_its_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "gigastt.toml"
    config.write_text('pool_size = 3\nport = 1\nallowed-host = ["a.example"]\n', encoding="utf-8")
    monkeypatch.setenv("GIGASTT_PORT", "2")
    monkeypatch.setenv("GIGASTT_ALLOW_BIND_ANY", "1")
    shown = show(capsys, "--config", str(config), "--host", "0.0.0.0")
    found = origins(shown)
    assert (found["pool-size"], found["allowed-host"]) == (str(config), str(config))
    assert (found["port"], found["bind-all"], found["host"]) == (
        "GIGASTT_PORT",
        "GIGASTT_ALLOW_BIND_ANY",
        "command line",
    )
    assert {found[name] for name in ("model", "vosk", "max-sessions", "rate-limit-burst")} == {"default"}
    table = tomllib.loads(shown)
    assert (table["port"], table["pool-size"], table["allowed-host"]) == (2, 3, ["a.example"])


def test_every_setting_is_shown_and_can_be_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = show(capsys, "--vosk", "127.0.0.1:2700", "--max-sessions", "7", "--allow-origin", "https://a.example")
    declared = {option.opts[0].removeprefix("--") for option in serve.params if isinstance(option, click.Option)}
    assert set(origins(shown)) == declared - {"config"}
    copy = tmp_path / "copy.toml"
    copy.write_text(shown, encoding="utf-8")
    with serve.make_context("serve", ["--config", str(copy)]) as context:
        settings = build_settings(dict(context.params))
    assert settings == Settings(vosk="127.0.0.1:2700", max_sessions=7, allow_origin=("https://a.example",))


def test_settings_that_do_not_go_together_are_shown_and_then_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["config", "show", "--host", "0.0.0.0"]) == 2
    told = capsys.readouterr()
    assert 'host = "0.0.0.0"' in told.out
    assert "--bind-all" in told.err
