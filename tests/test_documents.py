"""The documents say what the program does: error codes, settings, exit codes, metrics."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click
import pytest

from gigastt import errors
from gigastt.cli.main import run_command
from gigastt.cli.serve import serve
from gigastt.config import Limits, Settings
from gigastt.gateway.metrics import Metrics
from tests.fakes.gateway import ROUTES

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def subclasses(cls: type[errors.GigasttError]) -> set[type[errors.GigasttError]]:
    return {cls}.union(*(subclasses(sub) for sub in cls.__subclasses__() if sub.__module__ == errors.__name__))


def table(text: str, header: str) -> list[tuple[str, str]]:
    """Return the first two cells of every row of the table with that header."""
    lines = text[text.index(header) :].splitlines()[2:]
    rows = [line.strip("|").split("|") for line in lines[: next(i for i, line in enumerate(lines) if not line)]]
    return [(row[0].strip(), row[1].strip()) for row in rows]


def test_the_protocol_lists_every_error_of_http() -> None:
    listed = {
        (int(status), code)
        for status, text in table(PROTOCOL, "| status | code |")
        for code in re.findall(r"`([a-z_]+)`", text)
    }
    raised = {(error.status, error.code) for error in subclasses(errors.RequestError) - {errors.RequestError}}
    assert listed == raised


@pytest.mark.parametrize("document", [README, PROTOCOL], ids=["readme", "protocol"])
def test_every_route_is_named(document: str) -> None:
    assert [path for path in ROUTES if path not in document and path != "/ws"] == []


def test_the_readme_lists_every_setting_and_which_are_read_again() -> None:
    rows = table(README, "| flag of `gigastt serve` | default | |")
    listed = {flag for cell, _ in rows for flag in re.findall(r"`(--[a-z-]+)`", cell)}
    declared = {param.opts[0] for param in serve.params if isinstance(param, click.Option)} - {"--config"}
    again = {flag for cell, _ in rows if "↻" in cell for flag in re.findall(r"`--([a-z-]+)`", cell)}
    fields = {field.replace("_", "-") for field in (*Settings.__dataclass_fields__, *Limits.__dataclass_fields__)}
    assert listed == declared == {f"--{name}" for name in fields - {"limits"}}
    assert again == {name.replace("_", "-") for name in Limits.__dataclass_fields__}


def test_the_readme_has_the_defaults_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["config", "show"]) == 0
    shown = tomllib.loads(capsys.readouterr().out)
    listed: dict[str, str] = {}
    for cell, told in table(README, "| flag of `gigastt serve` | default | |"):
        flags = re.findall(r"`--([a-z-]+)`", cell)
        defaults = re.sub(r" \([^)]*\)", "", told).split(", ")
        listed |= zip(flags, defaults * len(flags) if len(defaults) == 1 else defaults, strict=flags != ["pool-size"])
    del listed["pool-size"]  # is told in words
    assert {flag: default for flag, default in listed.items() if default != default_text(shown.get(flag))} == {}


def default_text(value: object) -> str:
    """Return a default as the README has it."""
    if value is None or value == []:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.10g}" if isinstance(value, float) else str(value).replace(str(Path.home()), "~")


@pytest.mark.parametrize("document", [README, OPERATIONS], ids=["readme", "operations"])
def test_every_exit_code_is_listed(document: str) -> None:
    [sentence] = re.findall(r"^Exit codes: (.+?)(?:\n\n|\. )", document, re.MULTILINE | re.DOTALL)
    listed = {int(number) for number in re.findall(r"(?:^|,)\s*(\d+) ", sentence)}
    assert {error.exit_code for error in subclasses(errors.GigasttError)} <= listed


def test_every_metric_that_is_named_exists() -> None:
    series = Metrics().render().decode()
    named = set(re.findall(r"`(gigastt_[a-z_]+)`", OPERATIONS))
    assert named
    assert [name for name in named if name not in series] == []
