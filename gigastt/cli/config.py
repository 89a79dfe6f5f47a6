"""`gigastt config show`: the settings that `gigastt serve` would have, and where each comes from."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
from click.core import ParameterSource

from gigastt.cli.config_file import config_file_of
from gigastt.cli.environment import is_service_link
from gigastt.cli.mistakes import SettingsCommand
from gigastt.cli.serve import find_more, serve
from gigastt.errors import ConfigErrors


@click.group()
def config() -> None:
    """The settings."""


@click.pass_context
def _show(ctx: click.Context, /, **values: object) -> None:
    """Print every setting of `gigastt serve` as a TOML file, and where its value comes from.

    Takes the flags of `gigastt serve`, and ends with the mistakes that they make together. No setting holds a secret:
    keys are in files, of which the names are shown.
    """
    file = config_file_of(ctx)
    for option in serve.params:
        if isinstance(option, click.Option) and option.expose_value and option.name is not None:
            value = values[option.name]
            shown = _toml("auto" if value is None and option.default == "auto" else value)
            line = f"{option.name.replace('_', '-')} = {shown}"
            click.echo(f"{'# ' if shown == '' else ''}{line:<44} # {_origin(ctx, option, file)}")
    if mistakes := find_more(values, set()):
        raise ConfigErrors(mistakes)


def _origin(ctx: click.Context, option: click.Option, file: Path | None) -> str:
    match ctx.get_parameter_source(option.name or ""):
        case ParameterSource.COMMANDLINE:
            return "command line"
        case ParameterSource.ENVIRONMENT:
            return next(name for name in option.envvar or () if not _is_unset(name))
        case ParameterSource.DEFAULT_MAP:
            return str(file)
    return "default"


def _is_unset(name: str) -> bool:
    value = os.environ.get(name)
    return value is None or is_service_link(name, value)


def _toml(value: object) -> str:
    """Return a value as TOML has it; nothing for None, which it has not."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return json.dumps(list(value), ensure_ascii=False)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False)


config.add_command(
    SettingsCommand("show", params=serve.params, callback=_show, find_more=find_more, help=_show.__doc__)
)
