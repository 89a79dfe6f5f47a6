"""Tests of the environment: empty settings, misspelt ones, and variables that belong to somebody else."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest

from gigastt.cli.environment import PREFIX, Unknown, check_environment, is_service_link
from gigastt.cli.main import cli, run_command
from gigastt.cli.options import NonEmptyOption
from gigastt.cli.serve import build_settings, serve, settings_reader
from gigastt.errors import ConfigError
from tests.server import ServerProcess, clean_environment

# What Kubernetes puts into every pod beside a Service named `gigastt`, and beside one named `gigastt-metrics`.
LINKS = {
    "GIGASTT_SERVICE_HOST": "10.0.0.1",
    "GIGASTT_SERVICE_PORT": "9876",
    "GIGASTT_SERVICE_PORT_HTTP": "9876",
    "GIGASTT_PORT": "tcp://10.0.0.1:9876",
    "GIGASTT_PORT_9876_TCP": "tcp://10.0.0.1:9876",
    "GIGASTT_PORT_9876_TCP_PROTO": "tcp",
    "GIGASTT_PORT_9876_TCP_PORT": "9876",
    "GIGASTT_PORT_9876_TCP_ADDR": "10.0.0.1",
    "GIGASTT_METRICS_SERVICE_HOST": "10.0.0.2",
    "GIGASTT_METRICS_PORT": "tcp://10.0.0.2:9100",
    "GIGASTT_METRICS_PORT_9100_TCP_ADDR": "10.0.0.2",
}
VARIABLES = sorted(f"{PREFIX}{name}" for name in ("PORT", "HOST", "POOL_SIZE", "API_KEYS_FILE", "MODEL", "MIRROR"))


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


def variables() -> list[str]:
    return sorted(name for option in serve.params for name in option.envvar or ())


@pytest.mark.parametrize("name", variables())
@pytest.mark.parametrize("value", ["", " "], ids=["empty", "blank"])
def test_an_empty_variable_is_an_error(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    assert run_command(["serve"]) == 2
    error = capsys.readouterr().err
    assert error == f"gigastt: {name} is empty: give it a value, or unset it.\n"


def test_an_empty_variable_that_a_flag_beats_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIGASTT_PORT", "")
    with serve.make_context("serve", ["--port", "1"]) as context:
        assert build_settings(dict(context.params)).port == 1


STRINGS = ["host", "model", "model-dir", "metrics-listen", "vosk", "wyoming", "api-keys-file"]


@pytest.mark.parametrize("name", STRINGS)
def test_an_empty_argument_and_an_empty_key_are_errors(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["serve", f"--{name}", ""]) == 2
    assert f"--{name}" in capsys.readouterr().err
    config = tmp_path / "gigastt.toml"
    config.write_text(f'{name} = ""\n', encoding="utf-8")
    assert run_command(["serve", "--config", str(config)]) == 2
    assert f"--{name}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["allow-origin", "allowed-host", "trusted-proxy", "wyoming-allow"])
def test_an_empty_item_of_a_list_is_an_error(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "gigastt.toml"
    config.write_text(f'{name} = [""]\n', encoding="utf-8")
    assert run_command(["serve", "--config", str(config)]) == 2
    assert f"--{name}" in capsys.readouterr().err


def test_keys_that_become_empty_in_the_file_do_not_open_a_running_server(tmp_path: Path) -> None:
    config, keys = tmp_path / "gigastt.toml", tmp_path / "keys"
    keys.write_text("secret-key\n", encoding="utf-8")
    config.write_text(f'api-keys-file = "{keys}"\n', encoding="utf-8")
    read_settings = settings_reader(["--config", str(config)])
    read_settings()
    config.write_text('api-keys-file = ""\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="--api-keys-file"):
        read_settings()


@pytest.mark.parametrize("command", ["optimize", "transcribe"])
def test_an_empty_folder_for_results_is_an_error(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    option = {"optimize": "--output", "transcribe": "--output-dir"}[command]
    assert run_command([command, option, "", *(["a.wav"] if command == "transcribe" else [])]) == 2
    assert option in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("GIGASTT_API_KEY", "GIGASTT_API_KEYS_FILE"),
        ("GIGASTT_API_KEYS", "GIGASTT_API_KEYS_FILE"),
        ("GIGASTT_API_KEYS_FIEL", "GIGASTT_API_KEYS_FILE"),
        ("GIGASTT_ALLOW_ORIGINS", "GIGASTT_ALLOW_ORIGIN"),
        ("GIGASTT_MODELDIR", "GIGASTT_MODEL_DIR"),
        ("GIGASTT_KEEP_FP3", "GIGASTT_KEEP_FP32"),
    ],
)
def test_a_misspelt_variable_is_an_error(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, "1")
    assert run_command(["serve"]) == 2
    assert capsys.readouterr().err == f"gigastt: {name} is no setting. Did you mean {meant}? If not, unset it.\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["GIGASTT_VERSION", "GIGASTT_IMAGE", "GIGASTT_HOME", "GIGASTT_REPLICAS"])
def test_a_variable_of_somebody_else_is_mentioned(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, "1")
    assert run_command(["doctor", "--model", "demo", "--port", "0"]) == 0
    assert f"{name} in the environment is no setting" in capsys.readouterr().err


def test_settings_of_every_command_are_known() -> None:
    with click.Context(cli) as context:
        names = cli.variables(context)
    assert check_environment(dict.fromkeys(VARIABLES, "1"), names) == Unknown([], [])
    assert {*VARIABLES, "GIGASTT_URL", "GIGASTT_KEEP_FP32", "GIGASTT_CONFIG", "GIGASTT_ALLOW_BIND_ANY"} <= names


@pytest.mark.parametrize(("name", "value"), LINKS.items())
def test_what_kubernetes_says_of_a_service_is_passed_over(name: str, value: str) -> None:
    assert is_service_link(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GIGASTT_PORT", "9876"),
        ("GIGASTT_PORT", "tcp:9876"),
        ("GIGASTT_HOST", "tcp://10.0.0.1:1"),
        ("GIGASTT_PORT", ""),
    ],
)
def test_settings_are_not_taken_for_a_service(name: str, value: str) -> None:
    assert not is_service_link(name, value)


@pytest.mark.e2e
def test_a_server_beside_a_service_of_its_name_starts_and_says_how_to_keep_the_variables_out() -> None:
    with ServerProcess("--pool-size", "1", environment=clean_environment() | LINKS) as server:
        [line] = server.logged("not_a_setting")
    assert all(name in line["message"] for name in LINKS)
    assert "enableServiceLinks: false" in line["message"]


def test_the_port_of_a_service_is_not_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LINKS.items():
        monkeypatch.setenv(name, value)
    with serve.make_context("serve", []) as context:
        assert build_settings(dict(context.params)).port == 9876


def test_every_setting_is_read_in_the_same_way() -> None:
    for name in ("serve", "transcribe", "download", "optimize", "doctor", "bench", "health"):
        with click.Context(cli) as context:
            command = cli.get_command(context, name)
        assert command is not None
        for option in command.params:
            assert not option.envvar or isinstance(option, NonEmptyOption), f"{name} {option.name}"
