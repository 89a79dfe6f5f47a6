"""Tests of `gigastt serve`'s settings: what beats what, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from gigastt.cli.main import run_command
from gigastt.cli.serve import build_settings, serve, settings_reader
from gigastt.config import Limits, Settings
from gigastt.errors import ConfigError


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("GIGASTT_")]:
        monkeypatch.delenv(name)


def settings(*arguments: str) -> Settings:
    with serve.make_context("serve", list(arguments)) as context:
        return build_settings(dict(context.params))


def write(folder: Path, text: str) -> str:
    path = folder / "gigastt.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_without_arguments_settings_are_the_defaults() -> None:
    assert settings() == Settings()


def test_flag_beats_environment_beats_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write(tmp_path, "port = 1001\npool-size = 2\nmax_session_secs = 10\n")
    monkeypatch.setenv("GIGASTT_PORT", "1002")
    monkeypatch.setenv("GIGASTT_POOL_SIZE", "3")
    chosen = settings("--config", config, "--port", "1003")
    assert (chosen.port, chosen.pool_size, chosen.limits.max_session_secs) == (1003, 3, 10.0)


def test_every_option_has_a_variable_and_a_key_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys_file = tmp_path / "keys"
    keys_file.write_text("k\n", encoding="utf-8")
    values: dict[str, tuple[str, str]] = {
        "host": ('"127.0.0.2"', "127.0.0.2"),
        "port": ("1", "1"),
        "model": ('"demo"', "demo"),
        "model-dir": ('"/m"', "/m"),
        "precision": ('"fp32"', "fp32"),
        "min-confidence": ("0.4", "0.4"),
        "auto-download": ("true", "1"),
        "provider": ('"cpu"', "cpu"),
        "pool-size": ("2", "2"),
        "max-sessions": ("7", "7"),
        "final-latency-ms": ("250", "250"),
        "bind-all": ("true", "true"),
        "allow-origin": ('["https://a.example", "null"]', "https://a.example,null"),
        "cors-allow-any": ("true", "yes"),
        "allowed-host": ('["a.example"]', "a.example"),
        "trusted-proxy": ('["10.0.0.0/8"]', "10.0.0.0/8"),
        "idle-timeout-secs": ("1.5", "1.5"),
        "max-session-secs": ("0", "0"),
        "ws-frame-max-bytes": ("4096", "4096"),
        "body-limit-bytes": ("5", "5"),
        "max-audio-secs": ("6", "6"),
        "rate-limit-per-minute": ("60", "60"),
        "rate-limit-burst": ("3", "3"),
        "max-connections": ("900", "900"),
        "max-connections-per-address": ("300", "300"),
        "speaker-model": ('"small"', "small"),
        "speaker-likeness": ("0.6", "0.6"),
        "pool-checkout-timeout-secs": ("2", "2"),
        "shutdown-drain-secs": ("4", "4"),
        "metrics": ("true", "on"),
        "metrics-listen": ('"127.0.0.1:9000"', "127.0.0.1:9000"),
        "vosk": ('"127.0.0.1:2700"', "127.0.0.1:2700"),
        "vosk-plain": ("false", "false"),
        "wyoming": ('"127.0.0.1:10300"', "127.0.0.1:10300"),
        "wyoming-allow": ('["127.0.0.0/8"]', "127.0.0.0/8"),
        "wyoming-announce": ("true", "1"),
        "hotwords-file": (f'"{keys_file}"', str(keys_file)),
        "jobs-dir": ('"/jobs"', "/jobs"),
        "jobs-quota-bytes": ("1000", "1000"),
        "jobs-keep": ("60", "60"),
        "jobs-url-host": ('["a.example"]', "a.example"),
        "api-keys-file": (f'"{keys_file}"', str(keys_file)),
        "usage-file": ('"/usage.json"', "/usage.json"),
        "audiosocket": ('"127.0.0.1:9092"', "127.0.0.1:9092"),
        "audiosocket-allow": ('["10.0.0.0/8"]', "10.0.0.0/8"),
        "resume-secs": ("9", "9"),
        "worker-memory-mib": ("900", "900"),
        "worker-passes": ("1000", "1000"),
        "webhook": ('"https://example.org/hook"', "https://example.org/hook"),
        "webhook-secret-file": ('"secret"', "secret"),
        "tls-cert": ('"chain.pem"', "chain.pem"),
        "tls-key": ('"key.pem"', "key.pem"),
        "tls": ('"off"', "off"),
        "tls-dir": ('"/tls"', "/tls"),
        "secret-file": (f'"{keys_file}"', str(keys_file)),
        "log-level": ('"debug"', "debug"),
        "log-format": ('"json"', "json"),
    }
    declared = {p.opts[0].strip("-") for p in serve.params if isinstance(p, click.Option)} - {"config"}
    assert declared == set(values)
    from_file = settings("--config", write(tmp_path, "".join(f"{k} = {v}\n" for k, (v, _) in values.items())))
    for name, (_, text) in values.items():
        monkeypatch.setenv("GIGASTT_" + name.replace("-", "_").upper(), text)
    from_environment = settings()
    assert from_file == from_environment
    assert from_environment.allow_origin == ("https://a.example", "null")
    assert from_environment.limits.rate_limit_burst == 3
    assert from_environment.max_sessions == 7


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--port", "70000"], "--port"),
        (["--port", "x"], "--port"),
        (["--pool-size", "0"], "--pool-size"),
        (["--max-sessions", "many"], "auto"),
        (["--max-sessions", "0"], "auto"),
        (["--allow-origin", "example.com"], "scheme://host"),
        (["--allow-origin", "https://example.com/path"], "scheme://host"),
        (["--allow-origin", "https://[::1"], "scheme://host"),
        (["--trusted-proxy", "10.0.0.0/99"], "--trusted-proxy"),
        (["--metrics-listen", "9000"], "HOST:PORT"),
        (["--vosk", "2700"], "--vosk 2700: expected HOST:PORT"),
        (["--vosk", "0.0.0.0:2700"], "--bind-all"),
        (["--wyoming", "0.0.0.0:10300"], "--bind-all"),
        (["--wyoming-announce"], "--wyoming opens"),
        (["--wyoming", "127.0.0.1:10300", "--api-keys-file", __file__], "--wyoming-allow"),
        (["--idle-timeout-secs", "0"], "--idle-timeout-secs"),
        (["--rate-limit-per-minute", "-1"], "--rate-limit-per-minute"),
        (["--max-connections", "0"], "--max-connections"),
        (["--max-connections-per-address", "-1"], "--max-connections-per-address"),
        (["--log-level", "chatty"], "--log-level"),
        (["--api-keys-file", "/nowhere/keys"], "no such file"),
        (["--tls-cert", "chain.pem"], "--tls-key is missing"),
        (["--config", "/nowhere/gigastt.toml"], "/nowhere/gigastt.toml"),
        (["--prot", "1"], "--port"),
        (["stray"], "stray"),
    ],
)
def test_a_bad_value_is_one_clear_line_and_exit_code_2(
    arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["serve", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("gigastt: ")
    assert captured.err.count("\n") == 1
    assert word in captured.err


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("prot = 1\n", "'port'"),
        ("pool-sise = 1\n", "'pool-size'"),
        ("allow-bind-any = true\n", "'bind-all'"),
        ("pool-size = 1\npool_size = 2\n", "twice"),
        ("port = 1.5\n", "whole number"),
        ("port = true\n", "whole number"),
        ("metrics = 1\n", "true or false"),
        ('idle-timeout-secs = "long"\n', "a number"),
        ("host = 1\n", "a string"),
        ('allow-origin = "https://a.example"\n', "list of strings"),
        ("max-sessions = [1]\n", "whole number or"),
        ("port = \n", "not a TOML file"),
    ],
)
def test_a_bad_file_is_one_clear_line_and_exit_code_2(
    text: str, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["serve", "--config", write(tmp_path, text)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "gigastt.toml" in error
    assert word in error


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", "localhost.example.com"])
def test_a_host_that_others_can_reach_needs_to_be_asked_for(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["serve", "--host", host]) == 2
    error = capsys.readouterr().err
    assert "--bind-all" in error
    assert "GIGASTT_ALLOW_BIND_ANY=1" in error


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_hosts_need_no_permission(host: str) -> None:
    assert settings("--host", host).host == host


@pytest.mark.parametrize("variable", ["GIGASTT_BIND_ALL", "GIGASTT_ALLOW_BIND_ANY"])
def test_permission_to_bind_may_come_from_the_environment(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "1")
    assert settings("--host", "0.0.0.0").bind_all


def test_reading_settings_again_sees_the_changed_file(tmp_path: Path) -> None:
    config = write(tmp_path, "rate-limit-burst = 3\nidle-timeout-secs = 9\n")
    read_settings = settings_reader(["--config", config, "--idle-timeout-secs", "20"])
    assert read_settings().limits == Limits(rate_limit_burst=3, idle_timeout_secs=20.0)
    write(tmp_path, "rate-limit-burst = 5\nidle-timeout-secs = 10\n")
    assert read_settings().limits == Limits(rate_limit_burst=5, idle_timeout_secs=20.0)


@pytest.mark.parametrize("text", ["rate-limit-burst = 0\n", "unknown = 1\n", "not toml"])
def test_reading_settings_from_a_bad_file_is_a_config_error(text: str, tmp_path: Path) -> None:
    config = write(tmp_path, "rate-limit-burst = 3\n")
    read_settings = settings_reader(["--config", config])
    write(tmp_path, text)
    with pytest.raises(ConfigError):
        read_settings()


def test_settings_hold_every_limit_option() -> None:
    names: set[str] = {p.name for p in serve.params if p.name}
    known: set[Any] = set(Settings.__dataclass_fields__) | set(Limits.__dataclass_fields__)
    assert names - known == {"config"}
    assert known - names == {"limits"}
