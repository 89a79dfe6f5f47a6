"""Mistakes in settings: every one is told at once, wherever it was made, and nothing else is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gigastt.cli.environment import PREFIX
from gigastt.cli.main import run_command
from gigastt.cli.serve import settings_reader
from gigastt.errors import ConfigErrors


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gigastt.toml"
    text = 'pool-sise = 3\nmetrics = "yes"\nmin-confidence = 5\nhost = "0.0.0.0"\ntls-cert = "chain.pem"\n'
    path.write_text(text, encoding="utf-8")
    return path


WORDS = (
    "'pool-sise'. Did you mean 'pool-size'?",
    "metrics: expected true or false",
    "--min-confidence",
    "GIGASTT_API_KEYS_FILE is empty",
    "GIGASTT_ALLOWD_HOST is no setting. Did you mean GIGASTT_ALLOWED_HOST?",
    "--port",
    "No such option '--no-such'",
    "No such option '--nor-this'",
    "--bind-all",
    "--tls-key is missing",
)


@pytest.mark.parametrize("command", [["serve"], ["config", "show"]])
def test_mistakes_of_flags_file_and_environment_are_all_told(
    command: list[str], config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIGASTT_API_KEYS_FILE", "")
    monkeypatch.setenv("GIGASTT_ALLOWD_HOST", "x")
    arguments = ["--no-such", "--config", str(config), "--port", "70000", "--nor-this", "4"]
    assert run_command([*command, *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    lines = told.err.splitlines()
    assert all(line.startswith("gigastt: ") for line in lines)
    assert [word for word in WORDS if not any(word in line for line in lines)] == []
    assert len(lines) == len(set(lines)) == len(WORDS)


def test_what_follows_from_a_mistake_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["serve", "--tls-cert", "chain.pem", "--tls-key", "", "--host", "0.0.0.0", "--bind-all"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "--tls-key" in line
    assert "missing" not in line


def test_a_flag_without_its_value_hides_no_other_mistake(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIGASTT_CONFIG", str(config))
    assert run_command(["serve", "--port"]) == 2
    error = capsys.readouterr().err
    assert "'--port' requires an argument" in error
    assert "'pool-sise'" in error


@pytest.mark.parametrize("command", [["health"], ["doctor"], ["reload"], ["capacity"], ["tls", "init"]])
def test_other_commands_read_the_same_file_and_tell_its_mistakes(
    command: list[str], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command([*command, "--config", str(config), "--bogus"]) == 2
    error = capsys.readouterr().err
    for word in ("'pool-sise'", "metrics: expected true or false", "'--bogus'"):
        assert word in error


def test_a_command_without_settings_tells_a_misspelt_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIGASTT_ALLOWD_HOST", "x")
    monkeypatch.setenv("GIGASTT_POOL_SIZ", "x")
    assert run_command(["keys", "list", str(tmp_path / "keys")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_running_server_is_told_every_mistake_too(config: Path) -> None:
    config.write_text("port = 5\n", encoding="utf-8")
    read_settings = settings_reader(["--config", str(config)])
    assert read_settings().port == 5
    config.write_text("prot = 5\nrate-limit-burst = 0\n", encoding="utf-8")
    with pytest.raises(ConfigErrors) as caught:
        read_settings()
    assert len(caught.value.mistakes) == 2
    assert "'port'" in str(caught.value)
