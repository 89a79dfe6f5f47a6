"""The file of `--config`: TOML, with a key for every flag of `gigastt serve`, whichever command reads it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from gigastt.cli.environment import PREFIX
from gigastt.cli.kinds import FILE_PATH, CountOrAuto
from gigastt.cli.mistakes import note_mistakes
from gigastt.cli.options import NonEmptyOption

_FILE = "gigastt.cli.config_file"


def config_file_of(ctx: click.Context) -> Path | None:
    """Return the file that a command has read its settings from."""
    file: Path | None = ctx.meta.get(_FILE)
    return file


def _load(ctx: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    """Make what the file has the defaults of a command; remember every mistake in it."""
    if path is None:
        return
    ctx.meta[_FILE] = path
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        note_mistakes(ctx, [f"{path}: {exc.strerror}."])
        return
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        note_mistakes(ctx, [f"{path}: not a TOML file: {exc}."])
        return
    from gigastt.cli.serve import serve

    options = {p.name: p for p in serve.params if isinstance(p, click.Option) and p.name and p.name != parameter.name}
    values: dict[str, Any] = {}
    mistakes: list[str] = []
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in options:
            mistakes.append(f"{path}: unknown key {key!r}.{_hint(name, options)}")
        elif name in values:
            mistakes.append(f"{path}: {key!r} is there twice, with '-' and with '_'.")
        elif (expected := _expected(options[name], value)) is not None:
            mistakes.append(f"{path}: {key}: expected {expected}.")
        else:
            values[name] = value
    note_mistakes(ctx, mistakes)
    own = {p.name for p in ctx.command.params}
    ctx.default_map = {name: value for name, value in values.items() if name in own}


def _hint(unknown: str, options: Mapping[str, click.Option]) -> str:
    """Name the key that was meant, if one is like it; the variables' other names count as names too."""
    known = {name: name for name in options}
    for name, option in options.items():
        known |= {variable.removeprefix(PREFIX).lower(): name for variable in option.envvar or ()}
    near = get_close_matches(unknown, known, n=1)
    return f" Did you mean {known[near[0]].replace('_', '-')!r}?" if near else ""


def _expected(option: click.Option, value: object) -> str | None:
    """Return what a TOML value of the wrong kind, which click would quietly convert, should have been."""
    expected: tuple[type, ...] = (str,)
    word = "a string"
    if option.multiple:
        expected, word = (list,), "a list of strings"
    elif option.is_flag:
        expected, word = (bool,), "true or false"
    elif isinstance(option.type, CountOrAuto):
        expected, word = (int, str), 'a whole number or "auto"'
    elif isinstance(option.type, click.types.IntParamType):
        expected, word = (int,), "a whole number"
    elif isinstance(option.type, click.types.FloatParamType):
        expected, word = (int, float), "a number"
    right = isinstance(value, expected) and (bool in expected or not isinstance(value, bool))
    if not right or (isinstance(value, list) and not all(isinstance(item, str) for item in value)):
        return word
    return None


config_option = click.option(
    "--config",
    cls=NonEmptyOption,
    type=FILE_PATH,
    envvar=[PREFIX + "CONFIG"],
    show_envvar=True,
    is_eager=True,
    expose_value=False,
    callback=_load,
    help="TOML file with settings, keyed by the flags' names; a flag or a variable beats it.",
)
