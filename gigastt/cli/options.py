"""Options: one way to declare a setting, so that flag, environment and file always go together.

`setting("--pool-size")` is the flag `--pool-size`, the variable `GIGASTT_POOL_SIZE` and the key `pool-size`
(or `pool_size`) of the TOML file. Runs while the command line is parsed.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

import click

from gigastt.cli.environment import PREFIX, is_service_link
from gigastt.config import DEFAULT_MODEL, Settings

Function = TypeVar("Function", bound=Callable[..., Any])


class NonEmptyOption(click.Option):
    """An option that has a value or is not given: an empty variable, key or argument is a mistake, not a default."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        for name in self.envvar or ():  # a list, in every option of ours
            value = os.environ.get(name)
            if value is None or is_service_link(name, value):
                continue
            if not value.strip():
                raise click.UsageError(f"{name} is empty: give it a value, or unset it.")
            return value
        return None

    def consume_value(
        self, ctx: click.Context, opts: Mapping[str, click.Parameter]
    ) -> tuple[Any, click.core.ParameterSource]:
        value, source = super().consume_value(ctx, opts)
        for item in value if isinstance(value, list | tuple) else (value,):
            if isinstance(item, str) and not item.strip():
                raise click.BadParameter("expected a value, but got an empty one.", ctx, self)
        return value, source


def setting(flag: str, *, aliases: Sequence[str] = (), **attributes: Any) -> Callable[[Function], Function]:
    """Declare one setting: its flag, and `GIGASTT_…` (plus `aliases`) in the environment."""
    variable = PREFIX + flag.split("/")[0].strip("-").replace("-", "_").upper()
    attributes.setdefault("show_default", True)
    return click.option(flag, cls=NonEmptyOption, envvar=[variable, *aliases], show_envvar=True, **attributes)


def variables_of(command: click.Command) -> set[str]:
    """Return the names of the variables that a command reads."""
    options = [parameter for parameter in command.params if isinstance(parameter, NonEmptyOption)]
    return {name for option in options for name in option.envvar or ()}


model_option = setting(
    "--model",
    default=DEFAULT_MODEL,
    help="Which model; 'demo' needs no download and is no use on people.",
)
model_dir_option = setting(
    "--model-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=lambda: Settings().model_dir,
    show_default="~/.gigastt/models",
    help="Where the model files are.",
)
precision_option = setting(
    "--precision", type=click.Choice(["auto", "int8", "fp32"]), default="auto", help="Which encoder file to load."
)

min_confidence_option = setting(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    default=Settings().min_confidence,
    help="Leave out utterances without a word so sure, 0 to 1.",
)

tls_dir_option = setting(
    "--tls-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=lambda: Settings().tls_dir,
    show_default="~/.gigastt/tls",
    help="Where `gigastt tls init` and --tls auto keep authority and certificate.",
)


def model_options(function: Function) -> Function:
    """Declare the settings that name a model and the folder of its files."""
    return model_option(model_dir_option(precision_option(function)))


def _load_config(ctx: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise click.UsageError(f"{path}: {exc.strerror}.") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise click.UsageError(f"{path}: not a TOML file: {exc}.") from exc
    options = {p.name: p for p in ctx.command.params if isinstance(p, click.Option) and p.name and p is not parameter}
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in options:
            raise click.UsageError(f"{path}: unknown key {key!r}.{_hint(name, options)}")
        if name in values:
            raise click.UsageError(f"{path}: {key!r} is there twice, with '-' and with '_'.")
        values[name] = _check_type(f"{path}: {key}", options[name], value)
    ctx.default_map = values


def _hint(unknown: str, options: Mapping[str, click.Option]) -> str:
    """Name the key that was meant, if one is like it; the variables' other names count as names too."""
    known = {name: name for name in options}
    for name, option in options.items():
        known |= {variable.removeprefix(PREFIX).lower(): name for variable in option.envvar or ()}
    near = get_close_matches(unknown, known, n=1)
    return f" Did you mean {known[near[0]].replace('_', '-')!r}?" if near else ""


def _check_type(where: str, option: click.Option, value: object) -> object:
    """Refuse a TOML value of the wrong kind, which click would quietly convert."""
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
        raise click.UsageError(f"{where}: expected {word}.")
    return value


config_option = click.option(
    "--config",
    cls=NonEmptyOption,
    type=click.Path(dir_okay=False, path_type=Path),
    envvar=["GIGASTT_CONFIG"],
    show_envvar=True,
    is_eager=True,
    expose_value=False,
    callback=_load_config,
    help="TOML file with settings, keyed by the flags' names; a flag or a variable beats it.",
)


class CountOrAuto(click.ParamType[int | None]):
    """A positive whole number, or `auto` (None)."""

    name = "auto|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value is None or value == "auto":
            return None
        try:
            count = int(value)
        except ValueError:
            count = 0
        if count < 1:
            self.fail(f"expected 'auto' or a positive whole number, but got {value!r}", param, ctx)
        return count


class ListItem(click.ParamType[str]):
    """One of several; in the environment they are separated by commas or spaces."""

    name = "text"

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        return [item for item in re.split(r"[,\s]+", rv) if item]


class Origin(ListItem):
    """An origin as browsers send it: `scheme://host[:port]`, or `null`."""

    name = "origin"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        parts = _split(text)
        if text != "null" and (not parts.scheme or not parts.netloc or text != f"{parts.scheme}://{parts.netloc}"):
            self.fail(f"expected scheme://host[:port] without a path, or null, but got {text!r}", param, ctx)
        return text


class Cidr(ListItem):
    """An IP address or a network in CIDR form."""

    name = "cidr"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return str(ipaddress.ip_network(str(value)))
        except ValueError as exc:
            self.fail(f"expected an address or a network such as 10.0.0.0/8: {exc}", param, ctx)


class HttpAddress(click.ParamType[str]):
    """`http(s)://HOST[:PORT][/PATH]`."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        parts = _split(text)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            self.fail(f"expected http(s)://host[:port][/path], but got {text!r}", param, ctx)
        return text


def _split(address: str) -> SplitResult:
    """Take an address apart; every part is empty if its brackets or port are wrong."""
    with suppress(ValueError):
        parts = urlsplit(address)
        _ = parts.port  # raises if it is no number
        return parts
    return SplitResult("", "", "", "", "")
